/**
 * The port that peers, operators and programs dial. gRPC accepts whatever connects and waits for ever for its first word, so
 * connections are accepted here, and one that has not begun to speak in time is closed. Direct connections of lanes come to the same port.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type grpc from '@grpc/grpc-js';
import { listenOn, type Millis, type Scheduler } from '../../platform/index.ts';
import type { DirectLanes } from './direct-lane.ts';
import { awaitFirstWord } from './first-word.ts';

/** Where accepted connections go; of gRPC's server. */
export type ConnectionInjector = ReturnType<grpc.Server['createConnectionInjector']>;

/** See the top of the file. */
export class PeerListener {
  private readonly server: Server;
  private readonly scheduler: Scheduler;
  /** What was accepted and is open. */
  private readonly open = new Set<Socket>();

  constructor(injector: ConnectionInjector, scheduler: Scheduler, direct: Pick<DirectLanes, 'takes'>) {
    this.scheduler = scheduler;
    this.server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
      this.open.add(socket);
      socket.once('close', () => this.open.delete(socket));
      awaitFirstWord(socket, scheduler, (heard) => {
        if (direct.takes(socket, heard)) return;
        socket.unshift(heard);
        injector.injectConnection(socket);
      });
    });
  }

  /** @returns the bound port @throws the system's error (EADDRINUSE, EACCES) */
  listen(host: string, port: number): Promise<number> {
    return listenOn(this.server, host, port);
  }

  /** Accepts nothing any more; connections that are open go on. */
  close(): void {
    this.server.close();
  }

  /**
   * Ends every connection that is left. Call when gRPC's server ends those that it knows: it does not know one in the middle of its TLS handshake, nor
   * one that spoke while the server ended. Those that it knows get `graceMs`, so that what was said last still leaves.
   */
  async end(graceMs: Millis): Promise<void> {
    this.close();
    const closed = [...this.open].map((socket) => new Promise<void>((resolve) => socket.once('close', resolve)));
    const cancel = this.scheduler.after(graceMs, () => {
      for (const socket of this.open) socket.destroy();
    });
    await Promise.all(closed);
    cancel();
  }
}
