/** A client's connection to a simulated node: bytes travel as events, in order, until one side breaks it. */
import type { ClientStream } from '../../../src/adapter/redis/protocol/client-stream.ts';
import type { EventOwner, SeededRandom, Simulation } from '../../../src/platform/index.ts';

const MIN_DELAY_MS = 0.05;
const MAX_DELAY_MS = 0.4;
/** What a command and its reply take on the way, in the mean. */
export const CLIENT_ROUND_TRIP_MS = MIN_DELAY_MS + MAX_DELAY_MS;
/** Bytes of one direction never overtake each other. */
const GAP_MS = 0.0001;

type Listener = (argument: never) => void;

/** The server's side, which looks like a socket. */
class ServerEnd implements ClientStream {
  readonly remoteAddress = 'simulated';
  readonly writableLength = 0;
  private readonly connection: SimConnection;
  private readonly listeners = new Map<string, Listener[]>();
  private isPaused = false;
  private held: Buffer[] = [];

  constructor(connection: SimConnection) {
    this.connection = connection;
  }

  on(event: string, listener: Listener): this {
    const listeners = this.listeners.get(event);
    if (listeners === undefined) this.listeners.set(event, [listener]);
    else listeners.push(listener);
    return this;
  }

  write(bytes: Buffer | string): boolean {
    this.connection.toClient(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    return true;
  }

  cork(): void {}

  uncork(): void {}

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    const { held } = this;
    this.held = [];
    for (const bytes of held) this.receive(bytes);
  }

  end(onFinished?: () => void): void {
    this.connection.endFromServer();
    onFinished?.();
  }

  destroy(): void {
    this.connection.endFromServer();
  }

  receive(bytes: Buffer): void {
    if (this.isPaused) this.held.push(bytes);
    else this.emit('data', bytes);
  }

  emit(event: string, argument?: Buffer): void {
    for (const listener of this.listeners.get(event) ?? []) listener(argument as never);
  }
}

/** What the client's side hears. */
export interface ClientEnd {
  received(bytes: Buffer): void;
  /** Nothing more will come. */
  lost(): void;
}

export class SimConnection {
  /** Hand this to the node's front end. */
  readonly serverEnd: ClientStream;
  private readonly simulation: Simulation;
  private readonly server: EventOwner;
  private readonly random: SeededRandom;
  private readonly client: ClientEnd;
  private readonly end: ServerEnd;
  private toServerMs = 0;
  private toClientMs = 0;
  private isBroken = false;
  private isServerDead = false;

  constructor(simulation: Simulation, server: EventOwner, random: SeededRandom, client: ClientEnd) {
    this.simulation = simulation;
    this.server = server;
    this.random = random;
    this.client = client;
    this.end = new ServerEnd(this);
    this.serverEnd = this.end;
  }

  toServer(bytes: Buffer): void {
    if (this.isBroken || this.isServerDead) return;
    const now = this.simulation.nowMs();
    this.toServerMs = Math.max(now + this.drawDelay(), this.toServerMs + GAP_MS);
    this.simulation.schedule(
      this.toServerMs - now,
      'client bytes',
      () => {
        if (!this.isBroken) this.end.receive(bytes);
      },
      this.server,
      this,
    );
  }

  toClient(bytes: Buffer): void {
    this.laterAtClient(() => this.client.received(bytes));
  }

  endFromServer(): void {
    this.laterAtClient(() => this.breakNow());
  }

  /** The client went away; the server learns it as an event. */
  endFromClient(): void {
    if (this.isBroken) return;
    this.isBroken = true;
    if (this.isServerDead) return;
    this.simulation.schedule(this.drawDelay(), 'client gone', () => this.end.emit('close'), this.server, this);
  }

  /** The server's machine died: its end is never called again. */
  serverDied(): void {
    this.isServerDead = true;
    this.laterAtClient(() => this.breakNow());
  }

  private laterAtClient(act: () => void): void {
    if (this.isBroken) return;
    const now = this.simulation.nowMs();
    this.toClientMs = Math.max(now + this.drawDelay(), this.toClientMs + GAP_MS);
    this.simulation.schedule(this.toClientMs - now, 'server bytes', () => {
      if (!this.isBroken) act();
    });
  }

  private breakNow(): void {
    this.isBroken = true;
    this.client.lost();
  }

  private drawDelay(): number {
    return MIN_DELAY_MS + this.random.next() * (MAX_DELAY_MS - MIN_DELAY_MS);
  }
}
