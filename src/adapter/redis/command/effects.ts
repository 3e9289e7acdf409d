/**
 * What a command causes outside of the keys, beside its reply: lines of a script's log, messages, events. A command may be evaluated several
 * times, or in vain, so nothing leaves while it is evaluated. The request keeps what the last evaluation wanted, and emits it on the node where
 * that took place, once, when what the command wrote is applied.
 *
 * Effects are data, because an evaluation may take place in another thread.
 */
import type { ScriptLogLevel } from '../lua/index.ts';
import type { Published } from '../messages/index.ts';
import type { ScriptDenial } from './users.ts';

export type Effect =
  /** A line of `redis.log`. */
  | { readonly kind: 'log'; readonly level: ScriptLogLevel; readonly text: string }
  /** A message of a script. */
  | (Published & { readonly kind: 'message' })
  /** A script has called what its user may not do. */
  | ({ readonly kind: 'denied' } & ScriptDenial)
  /** A command that a script has called, for those who watch. They are bounded where they are noted: watching changes nothing. */
  | { readonly kind: 'call'; readonly db: number; readonly args: readonly Buffer[] }
  /** Something was done to a key. */
  | { readonly kind: 'event'; readonly db: number; readonly event: string; readonly key: Buffer };

/** Whoever keeps the effects of an evaluation until it is known what becomes of it. */
export interface EffectKeeper {
  /**
   * Has something leave the node when the command has taken effect: once however often it is evaluated, in order with what it writes and with other
   * commands of the group, and not at all when the command is refused or nobody knows whether it happened.
   */
  afterCommit(effect: Effect): void;
}

/** What one command (MULTI: all of it) may have its node keep and send, characters. */
const MAX_EFFECT_LENGTH = 64 * 1024 * 1024;

/** Effects of one request. */
export class Effects implements EffectKeeper {
  private list: Effect[] = [];
  private length = 0;

  /** There are too many to keep: the request must not take effect. */
  get isTooLong(): boolean {
    return this.length > MAX_EFFECT_LENGTH;
  }

  afterCommit(effect: Effect): void {
    this.length += lengthOf(effect);
    if (!this.isTooLong) this.list.push(effect);
  }

  /** What was noted, in order. */
  all(): readonly Effect[] {
    return this.list;
  }
}

/** Beside what the command was sent, which is there anyway. */
function lengthOf(effect: Effect): number {
  switch (effect.kind) {
    case 'log':
      return effect.text.length;
    case 'message':
      return effect.channel.length + effect.message.length;
    case 'denied':
      return effect.object.length + effect.clientInfo.length;
    case 'call':
    case 'event':
      return 0;
  }
}
