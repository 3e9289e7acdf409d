/** The state of MULTI: commands that were queued, and whether one of them was refused. */
import type { CommandSpec, ResolvedCommand } from '../command/index.ts';
import type { QueuedData } from '../request/index.ts';

/** A queued command: runs on the group, or on the connection once the group's part has succeeded. */
export type QueuedCommand =
  | { readonly kind: 'data'; readonly data: QueuedData }
  | { readonly kind: 'connection'; readonly command: ResolvedCommand; readonly args: readonly Buffer[] }
  /** Its client is not allowed to run it any more. */
  | { readonly kind: 'refused'; readonly text: string };

export class Transaction {
  readonly queue: QueuedCommand[] = [];
  /** A command was refused when it was queued, so EXEC must abort. */
  refused = false;
  /** A key whose group all others must have; undefined while there is none. */
  firstStorageKey: Buffer | undefined;
  /** The database that queued SELECTs have led to. */
  db: number;

  constructor(db: number) {
    this.db = db;
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
  data(): QueuedData[] {
    const commands: QueuedData[] = [];
    for (const queued of this.queue) if (queued.kind === 'data') commands.push(queued.data);
    return commands;
  }
}
