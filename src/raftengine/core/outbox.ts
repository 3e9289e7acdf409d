/** Messages on their way out of the core, kept apart by what they must wait for. */
import type { Message } from './types.ts';

const NO_MESSAGES: readonly Message[] = [];

export class Outbox {
  /** May leave at once. */
  atOnce: Message[] = [];
  /** Leave once everything handed out to be stored so far is stable. */
  afterPersist: Message[] = [];

  takeAtOnce(): readonly Message[] {
    if (this.atOnce.length === 0) return NO_MESSAGES;
    const taken = this.atOnce;
    this.atOnce = [];
    return taken;
  }

  takeAfterPersist(): readonly Message[] {
    if (this.afterPersist.length === 0) return NO_MESSAGES;
    const taken = this.afterPersist;
    this.afterPersist = [];
    return taken;
  }
}
