// What the suites of npm's clients share. Run beside a server that LARDER_TEST_ADDRESS names.
'use strict';

const net = require('node:net');

const address = process.env.LARDER_TEST_ADDRESS;
const [host, port] = address.split(':');

// Longest wait for something that has to come about by itself.
const WAIT_MS_MAX = 15_000;

/** Asks again and again until the answer is yes; failures to ask count as no. */
async function waitUntil(condition) {
  const deadline = Date.now() + WAIT_MS_MAX;
  for (;;) {
    if (await Promise.resolve().then(condition).catch(() => false)) return;
    if (Date.now() > deadline) throw new Error(`not so within ${WAIT_MS_MAX} ms`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** Sends raw lines on a connection of its own; resolves with the answer, once it has that many lines. */
function raw(lines, answerLines = 1) {
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = net.connect(Number(port), host, () => socket.write(lines));
    socket.on('error', reject);
    socket.on('data', (data) => {
      received += data;
      if (received.split('\r\n').length > answerLines) {
        socket.end();
        resolve(received);
      }
    });
  });
}

/** A way to the server that can be cut: `cut()` ends all connections, `close()` refuses new ones, too. */
class Wire {
  #sockets = new Set();
  #listener = net.createServer((client) => {
    const server = net.connect(Number(port), host);
    for (const [socket, other] of [[client, server], [server, client]]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });

  /** Listens on a free port, or on the one it had before. */
  open() {
    return new Promise((done) => {
      this.#listener.listen(this.port ?? 0, '127.0.0.1', () => {
        this.port = this.#listener.address().port;
        done(this);
      });
    });
  }

  get address() {
    return `127.0.0.1:${this.port}`;
  }

  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  close() {
    const closed = new Promise((done) => this.#listener.close(done));
    this.cut();
    return closed;
  }
}

const flush = () => raw('flush_all\r\n');

module.exports = { Wire, address, flush, raw, waitUntil };
