/**
 * Marks by which those who write backups and those who clean up keep out of each other's way. Each leaves its own mark first and looks for the
 * other's then, and stores show what was written before to whoever looks after: so of two who come at once one sees the other at least. A mark
 * carries the time of its last renewal; one that was left behind by somebody who died counts for a while, and is then taken away.
 */
import type { Millis } from '../../platform/index.ts';
import { type Json, openJson, sealJson } from '../../store/index.ts';
import { BackupBusyError } from '../format/index.ts';
import { getObject, ObjectMissingError, type ObjectStore } from '../objects/index.ts';

const PENDING = 'pending/';
const CLEANING = 'cleaning.json';
/** A mark that was not renewed for so long was left behind. Wall clocks of machines differ by much less. */
const STALE_MS: Millis = 3_600_000;
/** A mark is renewed when it is so old. */
const RENEW_MS: Millis = STALE_MS / 6;

interface Mark {
  readonly atMs: Millis;
  /** Who left it: chance, so that two of one name are told apart. */
  readonly token: string;
}

async function readMark(store: ObjectStore, name: string): Promise<Mark | undefined> {
  try {
    const { atMs, token } = openJson(await getObject(store, name), name) as Readonly<Record<string, Json>>;
    return { atMs: Number(atMs), token: String(token) };
  } catch (error) {
    if (error instanceof ObjectMissingError) return undefined;
    throw error;
  }
}

const markOf = ({ atMs, token }: Mark): Buffer => sealJson({ atMs, token });
const isFresh = (mark: Mark, nowMs: Millis): boolean => Math.abs(nowMs - mark.atMs) < STALE_MS;

/** The mark of a backup that is being made. */
export class PendingMark {
  private readonly store: ObjectStore;
  private readonly name: string;
  private readonly token: string;
  private readonly nowMs: () => Millis;
  private writtenMs: Millis = 0;

  private constructor(store: ObjectStore, id: string, token: string, nowMs: () => Millis) {
    this.store = store;
    this.name = `${PENDING}${id}.json`;
    this.token = token;
    this.nowMs = nowMs;
  }

  /**
   * Leaves the mark. One of the same backup is taken over: whoever made it before is gone.
   * @throws BackupBusyError while somebody cleans up
   */
  static async leave(store: ObjectStore, id: string, token: string, nowMs: () => Millis): Promise<PendingMark> {
    const mark = new PendingMark(store, id, token, nowMs);
    await mark.write();
    const cleaning = await readMark(store, CLEANING);
    if (cleaning === undefined) return mark;
    if (isFresh(cleaning, nowMs())) {
      await store.remove(mark.name);
      throw new BackupBusyError(`${store.place} is being cleaned up; the backup begins when that is done`);
    }
    await store.remove(CLEANING);
    return mark;
  }

  /** The backup is made: what is left of its mark goes, whoever left it. */
  static async forget(store: ObjectStore, id: string): Promise<void> {
    await store.remove(`${PENDING}${id}.json`);
  }

  /** To be called now and then. @throws BackupBusyError when the mark was taken away, because it was not renewed for too long */
  async renew(): Promise<void> {
    if (this.nowMs() - this.writtenMs < RENEW_MS) return;
    await this.assertThere();
    await this.write();
  }

  /** Nobody has cleaned up since. @throws BackupBusyError */
  async assertThere(): Promise<void> {
    if ((await readMark(this.store, this.name))?.token === this.token) return;
    throw new BackupBusyError(`the backup at ${this.store.place} was taken over or given up by somebody else`);
  }

  /** Takes the mark away, unless it is somebody else's by now. */
  async remove(): Promise<void> {
    if ((await readMark(this.store, this.name))?.token === this.token) await this.store.remove(this.name);
  }

  private async write(): Promise<void> {
    const atMs = this.nowMs();
    await this.store.put(this.name, markOf({ atMs, token: this.token }));
    this.writtenMs = atMs;
  }
}

/** Runs `work` while no backup is being made. @throws BackupBusyError when one is, or somebody else cleans up */
export async function whileCleaning<Result>(
  store: ObjectStore,
  token: string,
  nowMs: () => Millis,
  work: (assertOwn: () => Promise<void>) => Promise<Result>,
): Promise<Result> {
  const own = markOf({ atMs: nowMs(), token });
  if (!(await store.put(CLEANING, own, { ifAbsent: true }))) {
    const busy = `${store.place} is being cleaned up by somebody else; try again later`;
    const other = await readMark(store, CLEANING);
    // The answer to an attempt before may have been lost.
    if (other?.token !== token) {
      if (other !== undefined && isFresh(other, nowMs())) throw new BackupBusyError(busy);
      await store.remove(CLEANING);
      if (!(await store.put(CLEANING, own, { ifAbsent: true }))) throw new BackupBusyError(busy);
    }
  }
  let renewedMs = nowMs();
  const assertOwn = async (): Promise<void> => {
    if ((await readMark(store, CLEANING))?.token !== token) {
      throw new BackupBusyError(`cleaning up of ${store.place} was taken over by somebody else`);
    }
    if (nowMs() - renewedMs < RENEW_MS) return;
    renewedMs = nowMs();
    await store.put(CLEANING, markOf({ atMs: renewedMs, token }));
  };
  try {
    for await (const { name } of store.list(PENDING)) {
      const pending = await readMark(store, name);
      if (pending === undefined) continue;
      if (isFresh(pending, nowMs())) {
        throw new BackupBusyError(
          `a backup is being made at ${store.place}; what is not needed goes when that is done`,
        );
      }
      await store.remove(name);
    }
    return await work(assertOwn);
  } finally {
    await store.remove(CLEANING);
  }
}
