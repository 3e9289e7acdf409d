/** What a transaction of a connection asks of one group: the versions of keys that are watched, and all queued commands at once. */
import type { KeyView } from '../../../kv/index.ts';
import { assert, finish, type HlcTimestamp, hlcTimestamp } from '../../../platform/index.ts';
import { armBody } from '../bodies/index.ts';
import { EvaluationContext, mayWrite } from '../command/index.ts';
import { bulkIn, ErrorReply, errorText, isUnexpected, NIL_ARRAY, type Reply } from '../protocol/index.ts';
import { GroupRequest, isRefusal, type RequestOptions } from './group-request.ts';
import { type QueuedData, storageKeysOf } from './storage-keys.ts';

/** A key under WATCH: its storage key and the version that was read, 0n when it was absent. */
export interface WatchedKey {
  readonly storageKey: Buffer;
  readonly version: HlcTimestamp;
}

/** Marks the version of a key that was deleted; timestamps do not reach it before the year 6429. */
const GONE = 1n << 63n;

/**
 * What WATCH remembers of a key and EXEC compares: a key that came and went since is another than one that never was, as in
 * Redis. The commit timestamp of the value, that of the delete with `GONE`, or 0n.
 */
function watchedVersion(view: KeyView, key: Buffer): HlcTimestamp {
  const live = view.get(key);
  if (live !== undefined) return live.commitTs;
  const deletedTs = view.deletedAt?.(key) ?? 0n;
  return hlcTimestamp(deletedTs === 0n ? 0n : deletedTs | GONE);
}

/** EXEC: all queued commands over one view, if no watched key changed. */
export class TransactionRequest extends GroupRequest {
  readonly watched: readonly WatchedKey[];
  private readonly queue: readonly QueuedData[];

  constructor(watched: readonly WatchedKey[], commands: readonly QueuedData[], options: RequestOptions) {
    super(options);
    this.watched = watched;
    this.queue = commands;
  }

  override get commands(): readonly QueuedData[] {
    return this.queue;
  }

  get isWrite(): boolean {
    return this.commands.some(({ spec, args }) => mayWrite(spec, args));
  }

  storageKeys(): Buffer[] {
    return [...this.watched.map(({ storageKey }) => storageKey), ...storageKeysOf(this.commands)];
  }

  namedCount(): number {
    return this.commands.reduce(
      (count, command) => count + (command.argumentCount ?? command.args.length),
      this.watched.length,
    );
  }

  /**
   * The commands' replies in order, or a nil array when a watched key changed. A command that fails does not stop the
   * others, but a key that the group may not serve refuses the transaction as a whole.
   */
  protected run(view: KeyView): Reply {
    return finish(this.runInParts(view));
  }

  override get mayComeInParts(): boolean {
    return true;
  }

  protected override *runInParts(view: KeyView): Generator<void, Reply> {
    for (const { storageKey, version } of this.watched) {
      const now = watchedVersion(view, storageKey);
      // What took an absent key away a second time is not known of every absent key.
      const isAbsentStill = now === 0n && (version === 0n || (version & GONE) !== 0n);
      if (now !== version && !isAbsentStill) return NIL_ARRAY;
    }
    const replies: Reply[] = [];
    for (const [at, command] of this.commands.entries()) {
      const ctx = new EvaluationContext(view, command.db, this.resp, this.settings, this);
      try {
        replies.push(yield* this.runCommandInParts(at, command, ctx));
      } catch (error) {
        if (isRefusal(error) || isUnexpected(error)) throw error;
        replies.push(new ErrorReply(errorText(error, true)));
      }
      yield;
    }
    return replies;
  }
}

/** What a WATCH read. */
export interface WatchedVersions {
  /** True when a version is the view's own timestamp: a later write of the same entry could leave the same one. */
  readonly ambiguous: boolean;
  /** One a key, as `watchedVersion` tells them. */
  readonly versions: readonly HlcTimestamp[];
}

/**
 * WATCH: reads the versions of keys; its reply is read with `decodeVersions`. Changes of a large collection in place leave the version of its head
 * alone, so the head is armed; a version that comes from that is the turn's own, and is read again in a later turn like any other.
 */
export class WatchRequest extends GroupRequest {
  readonly keys: readonly Buffer[];
  readonly isWrite = true;

  constructor(keys: readonly Buffer[], options: RequestOptions) {
    super(options);
    this.keys = keys;
  }

  override get isRepeatable(): boolean {
    return true;
  }

  storageKeys(): Buffer[] {
    return [...this.keys];
  }

  namedCount(): number {
    return this.keys.length;
  }

  protected run(view: KeyView): Reply {
    const access = { view, storageKey: (key: Buffer) => key };
    const versions = Buffer.allocUnsafe(1 + this.keys.length * 8);
    let ambiguous = false;
    this.keys.forEach((key, index) => {
      armBody(access, key);
      const version = watchedVersion(view, key);
      ambiguous ||= (version & ~GONE) === view.ts;
      versions.writeBigUInt64BE(version, 1 + index * 8);
    });
    versions[0] = ambiguous ? 1 : 0;
    return versions;
  }
}

/** Reads a `WatchRequest`'s reply, whether it was evaluated here or comes encoded from the leader. */
export function decodeVersions(reply: Reply): WatchedVersions {
  const bytes = bulkIn(reply);
  assert(bytes !== undefined, 'versions are bytes');
  const versions: HlcTimestamp[] = [];
  for (let offset = 1; offset < bytes.length; offset += 8) versions.push(hlcTimestamp(bytes.readBigUInt64BE(offset)));
  return { ambiguous: bytes[0] === 1, versions };
}
