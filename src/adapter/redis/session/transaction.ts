/** The state of MULTI: commands that were queued, and whether one of them was refused. */
import type { CommandSpec, ResolvedCommand } from '../command/index.ts';
import { type QueuedData, storageKeysOf } from '../request/index.ts';

/** A queued command: runs on the group, or on the connection once the group's part has succeeded. */
export type QueuedCommand =
  | { readonly kind: 'data'; readonly data: QueuedData }
  | { readonly kind: 'connection'; readonly command: ResolvedCommand; readonly args: readonly Buffer[] }
  /** Its client is not allowed to run it any more. */
  | { readonly kind: 'refused'; readonly text: string };

export class Transaction {
  private readonly queued: QueuedCommand[] = [];
  /** The data commands among them that may run, in order, and all of their storage keys: EXEC asks for them several times, and there may be very many. */
  private commands: QueuedData[] = [];
  private keys: Buffer[] = [];
  /** A command was refused when it was queued, so EXEC must abort. */
  refused = false;
  /** A key whose group all others must have; undefined while there is none. */
  firstStorageKey: Buffer | undefined;
  /** The database that queued SELECTs have led to. */
  db: number;

  constructor(db: number) {
    this.db = db;
  }

  get queue(): readonly QueuedCommand[] {
    return this.queued;
  }

  add(command: QueuedCommand): void {
    this.queued.push(command);
    if (command.kind !== 'data') return;
    this.commands.push(command.data);
    for (const key of storageKeysOf([command.data])) this.keys.push(key);
  }

  /** Has commands answered by an error when the others run. @param denied what each of them is told, by its place */
  deny(denied: ReadonlyMap<number, string>): void {
    if (denied.size === 0) return;
    for (const [at, text] of denied) this.queued[at] = { kind: 'refused', text };
    this.commands = this.queued.flatMap((command) => (command.kind === 'data' ? [command.data] : []));
    this.keys = storageKeysOf(this.commands);
  }

  /** All commands that may run, in order, with their arguments as the client has sent them. */
  all(): { readonly spec: CommandSpec; readonly args: readonly Buffer[] }[] {
    return this.queue.flatMap((queued) => {
      if (queued.kind === 'refused') return [];
      if (queued.kind === 'connection') return [{ spec: queued.command.spec, args: queued.args }];
      return [{ spec: queued.data.spec, args: queued.data.given ?? queued.data.args }];
    });
  }

  /** The data commands in order. */
  data(): readonly QueuedData[] {
    return this.commands;
  }

  /** The storage keys of the data commands. */
  storageKeys(): readonly Buffer[] {
    return this.keys;
  }
}
