/** What commands see while somebody wants to hear of keys that come into being: where a head is written that was not there, it is noted. */
import type { KeyView, LiveValue } from '../../../kv/index.ts';
import type { HlcTimestamp } from '../../../platform/index.ts';
import { DATABASE_COUNT, decodeStorageKey } from '../keys/index.ts';
import type { EffectKeeper } from './effects.ts';
import { type EventFlags, hearsEvents } from './keyspace-events.ts';

export class NewKeysView implements KeyView {
  readonly prefetch: KeyView['prefetch'];
  readonly isElsewhere: KeyView['isElsewhere'];
  readonly deletedAt: KeyView['deletedAt'];
  readonly writtenAt: KeyView['writtenAt'];
  private readonly view: KeyView;
  private readonly effects: EffectKeeper;

  private constructor(view: KeyView, effects: EffectKeeper) {
    this.view = view;
    this.effects = effects;
    this.prefetch = view.prefetch?.bind(view);
    this.isElsewhere = view.isElsewhere?.bind(view);
    this.deletedAt = view.deletedAt?.bind(view);
    this.writtenAt = view.writtenAt?.bind(view);
  }

  /** @returns the view itself when nobody wants to hear, or when it notes new keys already */
  static over(view: KeyView, flags: EventFlags, effects: EffectKeeper): KeyView {
    return !hearsEvents(flags, 'new') || view instanceof NewKeysView ? view : new NewKeysView(view, effects);
  }

  get ts(): HlcTimestamp {
    return this.view.ts;
  }

  get hasWholeObjects(): boolean {
    return this.view.hasWholeObjects === true;
  }

  get(key: Buffer): LiveValue | undefined {
    return this.view.get(key);
  }

  put(key: Buffer, value: Buffer, expireTs: HlcTimestamp): void {
    const head = decodeStorageKey(key);
    if (head !== undefined && head.db < DATABASE_COUNT && this.view.get(key) === undefined) {
      this.effects.afterCommit({ kind: 'event', db: head.db, event: 'new', key: head.userKey });
    }
    this.view.put(key, value, expireTs);
  }

  delete(key: Buffer): void {
    this.view.delete(key);
  }

  deleteRange(start: Buffer, end: Buffer): void {
    this.view.deleteRange(start, end);
  }
}
