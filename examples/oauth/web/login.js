// Log-in by authorization code with PKCE (RFC 7636), and the tokens that come
// of it. They are in memory only: a page that is loaded anew logs in anew, which
// the provider remembers.

const HERE = `${location.origin}/`;
const API = `${location.origin}/push`;
const SCOPES = "openid chat.read chat.write";

let tokens; // { access_token, refresh_token, id_token }
let provider;

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function json(answer) {
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

// discover finds the provider by what the API says of itself (RFC 9728).
async function discover() {
  if (provider) return provider;
  const api = await json(await fetch("/.well-known/oauth-protected-resource/push"));
  provider = await json(await fetch(`${api.authorization_servers[0]}/.well-known/openid-configuration`));
  return provider;
}

export async function logIn() {
  const { authorization_endpoint } = await discover();
  const verifier = random(), state = random();
  sessionStorage.setItem("login", JSON.stringify({ verifier, state, search: location.search }));
  const challenge = base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  location.assign(`${authorization_endpoint}?${new URLSearchParams({
    client_id: "page", response_type: "code", redirect_uri: HERE, scope: SCOPES, resource: API, state,
    code_challenge: challenge, code_challenge_method: "S256",
  })}`);
}

// finish ends a log-in that the provider has sent back, if there is one.
export async function finish() {
  const query = new URLSearchParams(location.search);
  const begun = JSON.parse(sessionStorage.getItem("login"));
  if (!query.has("code") && !query.has("error")) return false;
  sessionStorage.removeItem("login");
  history.replaceState(null, "", `/${begun?.search ?? ""}`);
  if (query.has("error")) throw new Error(`the provider says ${query.get("error")}: ${query.get("error_description")}`);
  if (!begun || begun.state !== query.get("state")) throw new Error("this log-in was not begun here");
  await fetchTokens({ grant_type: "authorization_code", code: query.get("code"), redirect_uri: HERE, code_verifier: begun.verifier });
  return true;
}

async function fetchTokens(params) {
  const { token_endpoint } = await discover();
  const body = new URLSearchParams({ client_id: "page", resource: API, ...params });
  tokens = { ...tokens, ...(await json(await fetch(token_endpoint, { method: "POST", body }))) };
}

let refreshing;

// refresh fetches fresh tokens, once for all who need them at the same time.
export function refresh() {
  refreshing ??= fetchTokens({ grant_type: "refresh_token", refresh_token: tokens.refresh_token }).finally(() => (refreshing = undefined));
  return refreshing;
}

export const token = () => tokens.access_token;
export const bearer = () => ({ Authorization: `Bearer ${tokens.access_token}` });
export const subject = () => JSON.parse(atob(tokens.id_token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).sub;

// logOut ends the session at the provider, which tells the API: every stream of
// this log-in ends, in this browser and elsewhere.
export async function logOut() {
  const { end_session_endpoint } = await discover();
  location.assign(`${end_session_endpoint}?${new URLSearchParams({
    client_id: "page", id_token_hint: tokens.id_token, post_logout_redirect_uri: HERE,
  })}`);
}
