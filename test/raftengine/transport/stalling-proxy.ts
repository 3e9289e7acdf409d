/** A TCP proxy in front of a port, which stops taking bytes or breaks its connections on request. */
import { connect, createServer, type Server, type Socket } from 'node:net';

export class StallingProxy {
  readonly port: number;
  private readonly server: Server;
  private readonly inbound: Set<Socket>;
  private readonly outbound: Set<Socket>;

  private constructor(server: Server, port: number, inbound: Set<Socket>, outbound: Set<Socket>) {
    this.server = server;
    this.port = port;
    this.inbound = inbound;
    this.outbound = outbound;
  }

  static async before(target: number): Promise<StallingProxy> {
    const inbound = new Set<Socket>();
    const outbound = new Set<Socket>();
    const server = createServer((socket) => {
      const there = connect(target, '127.0.0.1');
      inbound.add(socket);
      outbound.add(there);
      for (const [from, to] of [
        [socket, there],
        [there, socket],
      ] as const) {
        from.on('error', () => {});
        from.on('close', () => to.destroy());
        from.pipe(to);
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new StallingProxy(server, (server.address() as { port: number }).port, inbound, outbound);
  }

  /** What callers send waits from now on. */
  stall(): void {
    for (const socket of this.inbound) socket.pause();
  }

  resume(): void {
    for (const socket of this.inbound) socket.resume();
  }

  destroyAll(): void {
    for (const socket of [...this.inbound, ...this.outbound]) socket.destroy();
  }

  async close(): Promise<void> {
    this.destroyAll();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}
