/**
 * An HTTP proxy in front of a server that speaks S3. It breaks what passes through it, and does what that server leaves out: it keeps objects
 * that are there from whoever writes with `If-None-Match: *`.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What is done to a request; undefined lets it through. */
export type ProxyFault =
  /** Answered here, and not passed on. */
  | { readonly kind: 'answer'; readonly status: number; readonly code: string }
  /** Passed on, and the connection is cut before the answer. */
  | { readonly kind: 'lost' }
  /** The connection is cut at once. */
  | { readonly kind: 'cut' }
  /** Never answered. */
  | { readonly kind: 'silent' }
  /** The answer's body ends after half of it. */
  | { readonly kind: 'torn' }
  /** A bit of the answer's body is turned over. */
  | { readonly kind: 'flipped' };

/** See the top of the file. */
export class FaultyProxy {
  /** Asked for each request. */
  fault: (method: string, url: string) => ProxyFault | undefined = () => undefined;
  /** Requests so far. */
  requests = 0;
  private readonly port: number;
  /** Conditional writes, one after another. */
  private turn: Promise<unknown> = Promise.resolve();
  private readonly server: Server;

  private constructor(port: number) {
    this.port = port;
    this.server = createServer((incoming, answer) => this.serve(incoming, answer));
  }

  /** @param port of the server behind it, on this machine */
  static async open(port: number): Promise<FaultyProxy> {
    const proxy = new FaultyProxy(port);
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private serve(incoming: IncomingMessage, answer: ServerResponse): void {
    this.requests += 1;
    const fault = this.fault(incoming.method ?? '', incoming.url ?? '');
    incoming.on('error', () => undefined);
    if (fault?.kind === 'silent') return;
    if (fault?.kind === 'cut') {
      incoming.socket.destroy();
      return;
    }
    if (fault?.kind === 'answer') {
      incoming.resume();
      const body = `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>said the proxy</Message></Error>`;
      answer.writeHead(fault.status, { 'content-type': 'application/xml', 'content-length': body.length });
      answer.end(body);
      return;
    }
    if (incoming.headers['if-none-match'] !== '*') {
      this.pass(incoming, answer, fault, () => undefined);
      return;
    }
    incoming.pause();
    this.turn = this.turn.then(async () => {
      if (!(await this.isThere(incoming.url ?? ''))) {
        await new Promise<void>((resolve) => this.pass(incoming, answer, fault, resolve));
        return;
      }
      incoming.resume();
      answer.writeHead(412, { 'content-length': 0 });
      answer.end();
    });
  }

  private isThere(path: string): Promise<boolean> {
    return new Promise((resolve) => {
      const asked = request({ host: '127.0.0.1', port: this.port, method: 'HEAD', path }, (reply) => {
        reply.resume();
        resolve(reply.statusCode === 200);
      });
      asked.end();
    });
  }

  /** @param done called when the server has answered */
  private pass(
    incoming: IncomingMessage,
    answer: ServerResponse,
    fault: ProxyFault | undefined,
    done: () => void,
  ): void {
    const { method, url, headers } = incoming;
    const passed = request({ host: '127.0.0.1', port: this.port, method, path: url, headers }, (reply) => {
      const parts: Buffer[] = [];
      reply.on('data', (part: Buffer) => parts.push(part));
      reply.on('end', () => {
        done();
        if (fault?.kind === 'lost') {
          incoming.socket.destroy();
          return;
        }
        const body = Buffer.concat(parts);
        if (fault?.kind === 'flipped' && body.length > 0) body[body.length >> 1]! ^= 8;
        answer.writeHead(reply.statusCode ?? 500, reply.headers);
        if (fault?.kind !== 'torn') answer.end(body);
        else answer.write(body.subarray(0, body.length >> 1), () => incoming.socket.destroy());
      });
    });
    passed.on('error', () => {
      done();
      incoming.socket.destroy();
    });
    incoming.pipe(passed);
  }
}
