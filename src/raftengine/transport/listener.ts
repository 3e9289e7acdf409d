/**
 * The port that peers, operators and programs dial. gRPC accepts whatever connects and waits for ever for its first word, so
 * connections are accepted here, and one that has not begun to speak in time is closed.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type grpc from '@grpc/grpc-js';
import { listenOn, type Millis, type Scheduler } from '../../platform/index.ts';

/** From the accept to the first word: what HTTP/2 begins with (RFC 9113 §3.4), or the beginning of a TLS handshake. */
const FIRST_WORD_MS: Millis = 10_000;
const FIRST_WORD_BYTES = 24;

/** Where accepted connections go; of gRPC's server. */
export type ConnectionInjector = ReturnType<grpc.Server['createConnectionInjector']>;

/** See the top of the file. */
export class PeerListener {
  private readonly server: Server;
  private readonly scheduler: Scheduler;
  /** What was accepted and is open. */
  private readonly open = new Set<Socket>();

  constructor(injector: ConnectionInjector, scheduler: Scheduler) {
    this.scheduler = scheduler;
    this.server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
      this.open.add(socket);
      socket.once('close', () => this.open.delete(socket));
      this.awaitFirstWord(socket, () => injector.injectConnection(socket));
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

  /** Calls back once the socket has spoken; what it said is still to be read from it. */
  private awaitFirstWord(socket: Socket, onSpoken: () => void): void {
    const cancel = this.scheduler.after(FIRST_WORD_MS, () => socket.destroy());
    const heard: Buffer[] = [];
    let heardBytes = 0;
    const onError = (): unknown => socket.destroy();
    const onData = (chunk: Buffer): void => {
      heard.push(chunk);
      heardBytes += chunk.length;
      if (heardBytes < FIRST_WORD_BYTES) return;
      cancel();
      socket.off('data', onData).off('error', onError).off('close', cancel).pause();
      socket.unshift(heard.length === 1 ? chunk : Buffer.concat(heard));
      onSpoken();
    };
    socket.on('data', onData).on('error', onError).once('close', cancel).resume();
  }
}
