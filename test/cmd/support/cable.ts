/** A connection to a server that can break. */
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';
import type { Target } from '../../compat/targets.ts';

/** Passes bytes through to a server, and can break all connections. */
export class Cable {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly far = new Set<Socket>();
  private isHolding = false;
  /** Bytes of answers after which a connection breaks; undefined for never. */
  breakAfterBytes: number | undefined;
  broken = 0;

  private constructor(target: Target) {
    this.server = createServer((near) => {
      const far = dial(target.port, target.host);
      let answered = 0;
      this.far.add(far);
      far.on('close', () => this.far.delete(far));
      if (this.isHolding) far.pause();
      for (const socket of [near, far]) {
        this.sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far);
      far.on('data', (bytes: Buffer) => {
        const room = (this.breakAfterBytes ?? Number.POSITIVE_INFINITY) - answered;
        answered += bytes.length;
        near.write(bytes.subarray(0, room));
        if (bytes.length <= room) return;
        this.broken += 1;
        near.end();
        far.destroy();
      });
    });
  }

  static async open(target: Target): Promise<Cable> {
    const cable = new Cable(target);
    await new Promise<void>((resolve) => cable.server.listen(0, '127.0.0.1', resolve));
    return cable;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Answers do not come through any more, or again. */
  hold(isHolding: boolean): void {
    this.isHolding = isHolding;
    for (const socket of this.far) {
      if (isHolding) socket.pause();
      else socket.resume();
    }
  }

  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  close(): void {
    this.server.close();
    this.cut();
  }
}
