/** What commands see while somebody wants to hear of keys that come into being: where a head is written that was not there, it is noted. */
import type { KeyView } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';
import { DATABASE_COUNT, decodeStorageKey } from '../keys/index.ts';
import type { EffectKeeper } from './effects.ts';
import { type EventFlags, hearsEvents } from './keyspace-events.ts';
import { PassingView } from './passing-view.ts';

export class NewKeysView extends PassingView {
  private readonly effects: EffectKeeper;

  private constructor(view: KeyView, effects: EffectKeeper) {
    super(view);
    this.effects = effects;
  }

  /** @returns the view itself when nobody wants to hear, or when it notes new keys already */
  static over(view: KeyView, flags: EventFlags, effects: EffectKeeper): KeyView {
    return !hearsEvents(flags, 'new') || view instanceof NewKeysView ? view : new NewKeysView(view, effects);
  }

  override put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    const head = decodeStorageKey(key);
    if (head !== undefined && head.db < DATABASE_COUNT && this.view.get(key) === undefined) {
      this.effects.afterCommit({ kind: 'event', db: head.db, event: 'new', key: head.userKey });
    }
    super.put(key, value, expireTs);
  }
}
