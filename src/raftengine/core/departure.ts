/**
 * A leader that was removed serves nothing any more, but steps down only when the voters that remain know that the removal
 * is committed: otherwise they would ask the removed ones for votes, whose logs may be longer.
 */
import type { LogIndex, Millis } from '../../platform/index.ts';
import type { Replication } from './replication.ts';

export class Departure {
  /** By which entry this node was removed, and since when it tells the others. */
  private removal: { readonly index: LogIndex; readonly sinceMs: Millis } | undefined;

  start(index: LogIndex, nowMs: Millis): void {
    this.removal = { index, sinceMs: nowMs };
  }

  stop(): void {
    this.removal = undefined;
  }

  isUnderWay(): boolean {
    return this.removal !== undefined;
  }

  /** True when a quorum of those that remain knows of the removal. */
  isDone(replication: Replication): boolean {
    return this.removal !== undefined && replication.quorumKnowsCommit(this.removal.index, this.removal.sinceMs);
  }
}
