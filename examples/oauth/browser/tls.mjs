// TLS in front of a server, with a certificate that nobody has signed.

import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer } from "node:tls";
import { promisify } from "node:util";

async function certificate() {
  const dir = await mkdtemp(join(tmpdir(), "certificate-"));
  const [key, cert] = [join(dir, "key"), join(dir, "cert")];
  try {
    await promisify(execFile)("openssl", [
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
      "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert,
    ]);
    return { key: await readFile(key), cert: await readFile(cert) };
  } finally {
    await rm(dir, { recursive: true });
  }
}

export class TLSFront {
  #sockets = new Set();

  // listen takes TLS off what comes, and passes it on to a port of this machine.
  static async listen(port) {
    const front = new TLSFront();
    front.server = createServer(await certificate(), (client) => front.#serve(client, connect(port, "127.0.0.1")));
    front.server.on("tlsClientError", () => {}); // a browser may look at the certificate, and ask again
    front.server.listen(0, "127.0.0.1");
    await once(front.server, "listening");
    front.url = `https://127.0.0.1:${front.server.address().port}`;
    return front;
  }

  // serve ends both sides with either of them.
  #serve(client, server) {
    client.pipe(server).pipe(client);
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => {}).on("close", () => {
        this.#sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
  }

  close() {
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
