// An identity provider for one machine: oidc-provider with a log-in page that
// takes any name. The Go program starts it and says by environment variables
// whom it serves; it ends when its standard input does.

import { createServer } from "node:http";
import Provider, { errors } from "oidc-provider";

const { APP, API, API_SECRET, ROBOT_SECRET, TOKEN_LIFE } = process.env;
const tokenLife = Number(TOKEN_LIFE); // seconds

// The scopes of the API, and who may have which.
const USER = "chat.read chat.write";
const SCOPES = `${USER} admin`;

const clients = [
  { // the page: a public client, so PKCE and no secret
    client_id: "page", token_endpoint_auth_method: "none", response_types: ["code"], grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: [`${APP}/`], post_logout_redirect_uris: [`${APP}/`], backchannel_logout_uri: `${APP}/backchannel-logout`,
    backchannel_logout_session_required: true, scope: `openid ${USER}`,
  },
  { client_id: "api", client_secret: API_SECRET, response_types: [], grant_types: [], redirect_uris: [] }, // asks about opaque tokens
  { client_id: "robot", client_secret: ROBOT_SECRET, response_types: [], grant_types: ["client_credentials"], redirect_uris: [], scope: SCOPES },
  { // the same, with tokens that are bound to its key
    client_id: "bound", client_secret: ROBOT_SECRET, response_types: [], grant_types: ["client_credentials"], redirect_uris: [], scope: SCOPES,
    dpop_bound_access_tokens: true,
  },
];

// resource describes the API to the provider; "?opaque" is the same API for
// clients that want tokens that are no JWTs.
function resource(indicator) {
  const [audience, format] = indicator.split("?");
  if (audience !== API) throw new errors.InvalidTarget();
  return {
    audience, scope: SCOPES, accessTokenTTL: tokenLife,
    ...(format === "opaque" ? { accessTokenFormat: "opaque" } : { accessTokenFormat: "jwt", jwt: { sign: { alg: format ?? "ES256" } } }),
  };
}

// grant gives the page what it asks for: there is nobody to ask for consent.
async function grant(ctx) {
  const { session, client, result } = ctx.oidc;
  const id = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  const known = id && await ctx.oidc.provider.Grant.find(id);
  if (known) return known;
  const fresh = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  fresh.addOIDCScope(`openid ${USER}`);
  fresh.addResourceScope(API, USER);
  await fresh.save();
  return fresh;
}

// claimsOf adds to an access token the log-in that it belongs to, under the name
// that a log-out will have.
async function claimsOf(ctx, token) {
  if (!token.sessionUid) return { sub: token.clientId };
  const session = await ctx.oidc.provider.Session.findByUid(token.sessionUid);
  return session && { sid: session.sidFor(token.clientId) };
}

async function keys() {
  const generate = async (alg, params, extra) => {
    const { privateKey } = await crypto.subtle.generateKey(params, true, ["sign", "verify"]);
    return { ...(await crypto.subtle.exportKey("jwk", privateKey)), key_ops: undefined, ext: undefined, kid: crypto.randomUUID(), use: "sig", alg, ...extra };
  };
  return {
    keys: [
      await generate("ES256", { name: "ECDSA", namedCurve: "P-256" }),
      await generate("RS256", { name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" }),
    ],
  };
}

const html = (body) => `<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Log in</title>
<style>body{font:1rem/1.5 system-ui;display:grid;place-content:center;min-height:90vh;margin:0}form{display:grid;gap:.75rem;min-width:16rem}
input,button{font:inherit;padding:.5rem}</style>${body}`;

const server = createServer();
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients, jwks: await keys(),
  cookies: { keys: [crypto.randomUUID()] },
  clientBasedCORS: (_ctx, origin) => origin === APP,
  clientDefaults: { id_token_signed_response_alg: "ES256" },
  claims: { openid: ["sub"] },
  scopes: ["openid", ...SCOPES.split(" ")],
  conformIdTokenClaims: true,
  findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  loadExistingGrant: grant,
  extraTokenClaims: claimsOf,
  fetch: (url, { dispatcher: _, ...options }) => globalThis.fetch(url, options), // its guard against loopback addresses: all of us are there
  issueRefreshToken: () => true,
  interactions: { url: (_ctx, interaction) => `/login/${interaction.uid}` },
  pkce: { required: () => true },
  ttl: { AccessToken: tokenLife, ClientCredentials: tokenLife, IdToken: 600, RefreshToken: 86_400, Session: 86_400, Grant: 86_400, Interaction: 600 },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret: crypto.getRandomValues(Buffer.alloc(32)) },
    introspection: { enabled: true, allowedPolicy: (_ctx, client) => client.clientId === "api" },
    resourceIndicators: {
      enabled: true, defaultResource: () => API, useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, indicator) => resource(indicator),
    },
    rpInitiatedLogout: {
      enabled: true,
      // The page has asked already: no second question.
      logoutSource: (ctx, form) => {
        ctx.body = html(form.replace("</form>", '<input type="hidden" name="logout" value="yes"><button autofocus>Log out</button></form>') +
          '<script>document.forms[0].submit()</script>');
      },
    },
  },
});

// login shows the form, and takes it.
async function login(req, res) {
  if (req.method === "GET") {
    await provider.interactionDetails(req, res);
    res.setHeader("Content-Type", "text/html");
    res.end(html('<form method="post"><label>Who are you? <input name="name" required pattern="[a-z0-9]{1,32}" autofocus></label><button>Log in</button></form>'));
    return;
  }
  let body = "";
  for await (const chunk of req) body += chunk;
  const name = new URLSearchParams(body).get("name") ?? "";
  if (!/^[a-z0-9]{1,32}$/.test(name)) {
    res.writeHead(400).end("a name of small letters and digits, please");
    return;
  }
  await provider.interactionFinished(req, res, { login: { accountId: name } });
}

provider.on("backchannel.error", (_ctx, e, client) => console.error(`the log-out could not be told to ${client.clientId}: ${e.message}`));

const serve = provider.callback();
server.on("request", (req, res) => {
  if (!req.url.startsWith("/login/")) return serve(req, res);
  login(req, res).catch((e) => {
    if (!res.headersSent) res.writeHead(400);
    res.end(String(e.message));
  });
});
console.log(`ready ${issuer}`);
process.stdin.resume().on("end", () => process.exit());
