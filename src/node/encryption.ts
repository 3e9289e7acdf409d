/**
 * Encryption of what a node stores: which keys its data folder has, and bringing everything in it under the newest one while the node serves.
 * Other nodes have keys of their own, and see nothing of it.
 *
 * A round brings stores over one after another, a few rows at a time, then writes the log again, and at last looks whether all stores of the folder
 * were among them: only then older keys go, and what is in clear is refused from then on. A round that is cut off is begun again.
 */
import { join } from 'node:path';
import {
  type Clock,
  type Disk,
  type Millis,
  type Random,
  type Scheduler,
  SystemDisk,
  sleep,
} from '../platform/index.ts';
import { holdsData, type LogEncryption, type NodeRecord, type WalLogStore } from '../raftengine/index.ts';
import {
  checkKeyRing,
  EncryptionKeyError,
  EncryptionKeyMissingError,
  hasKeyRing,
  KeyRing,
  type KeySource,
  SealedDisk,
  type WrappingKeys,
} from '../security/index.ts';
import { type SealedLevel, SealedLevels } from '../store/index.ts';

/** Between steps of moving rows, so that they take a small part of the node. */
const STEP_PAUSE_MS: Millis = 15;
/** Between rounds, and after one that failed. */
const ROUND_MS: Millis = 60_000;
const DAY_MS = 86_400_000;
/** A store's folder; others beside it have suffixes. */
const STORE_NAME = /^group-\d+$/;
/** Databases too: one that a swap has put aside may come back, and a copy on its way in is to be swapped in. */
const BESIDE_NAME = /^group-\d+\.(?:rollback|incoming)$/;
/** Lines about what LevelDB does, for people. */
const LEVEL_NOTES = ['LOG', 'LOG.old'] as const;
/** Segments of copies that were not installed yet. */
const RECEIVED_NAME = /^group-\d+\.received$/;

/** The part of a pino logger that is used. */
interface EncryptionLogger {
  info(facts: object, message: string): void;
}

export interface EncryptionOptions {
  /** The data folder, which this process has. */
  readonly folder: { readonly path: string; readonly record: NodeRecord };
  readonly disk: Disk;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** A strong source: keys and salts come from it. */
  readonly random: Random;
  /** Undefined: what is stored is in clear. */
  readonly source: KeySource | undefined;
  /** A data key that is older is followed by another; 0: never by itself. */
  readonly dataKeyDays: number;
  readonly logger: EncryptionLogger;
  /** Hears what went wrong and will be tried again. */
  readonly onError: (error: unknown) => void;
}

/** How far a folder is, for operators. */
export interface EncryptionStatus {
  /** Nothing in the folder is in clear. */
  readonly isSealed: boolean;
  /** Everything is under the newest data key. */
  readonly isSettled: boolean;
  readonly dataKeys: number;
}

const missing = (folder: string): EncryptionKeyMissingError =>
  new EncryptionKeyMissingError(
    `the data folder ${folder} is encrypted, and no key is given: set encryption.keyFile, encryption.keyCommand or KVORUM_ENCRYPTION_KEY`,
  );

/**
 * Looks whether a folder can be opened with the keys that are given, before anything is written to it.
 * @throws EncryptionKeyMissingError, WrongEncryptionKeyError, EncryptionKeyError
 */
export async function checkEncryption(folder: string, source: KeySource | undefined): Promise<void> {
  const disk = new SystemDisk();
  if (source !== undefined) await checkKeyRing(disk, folder, source.keys);
  else if (await hasKeyRing(disk, folder)) throw missing(folder);
}

/** See the top of the file. */
export class Encryption {
  private readonly options: EncryptionOptions;
  private readonly ring: KeyRing;
  /** Opens databases of stores. */
  readonly levels: SealedLevels;
  private readonly ended = new AbortController();
  /** Ends the wait for the next round. */
  private wake: AbortController = new AbortController();
  private running: Promise<void> = Promise.resolve();

  private constructor(options: EncryptionOptions, ring: KeyRing) {
    this.options = options;
    this.ring = ring;
    this.levels = new SealedLevels({ keys: ring.dataKeys, allowsClear: this.allowsClear });
  }

  /**
   * Opens the keys of a data folder, or makes them for one that has none.
   * @returns undefined when nothing is to be encrypted
   * @throws EncryptionKeyMissingError, WrongEncryptionKeyError, EncryptionKeyError
   */
  static async open(options: EncryptionOptions): Promise<Encryption | undefined> {
    const { folder, disk, source, clock, random } = options;
    const { path, record } = folder;
    if (source === undefined) {
      if (record.isEncrypted || (await hasKeyRing(disk, path))) throw missing(path);
      return undefined;
    }
    const { keys: wrapping } = source;
    const ringOptions = { disk, folder: path, wrapping, random };
    let ring = await KeyRing.open(ringOptions, record.incarnation);
    if (ring === undefined) {
      if (record.isEncrypted) {
        throw new EncryptionKeyError(
          `the keys of the data folder ${path} (keys.json) are gone, and with them what is in it; restore this replica from the other ones`,
        );
      }
      ring = await KeyRing.make(ringOptions, record.incarnation, !(await holdsData(disk, path)), clock.nowMs());
    }
    await record.noteEncryption();
    const encryption = new Encryption(options, ring);
    await encryption.wrapBy(wrapping);
    await encryption.removeRemains();
    source.onChange = (keys) => encryption.wrapBy(keys);
    return encryption;
  }

  private readonly allowsClear = (): boolean => !this.ring.isSealed;

  /** For the log of the folder. */
  get log(): LogEncryption {
    return { sealing: this.ring.dataKeys.sealing('log'), allowsClear: this.allowsClear() };
  }

  get dataKeys(): KeyRing['dataKeys'] {
    return this.ring.dataKeys;
  }

  /** A disk for files of copies. */
  disk(): Disk {
    return new SealedDisk(this.options.disk, this.ring.dataKeys, this.allowsClear);
  }

  status(): EncryptionStatus {
    const { ring } = this;
    return {
      isSealed: ring.isSealed,
      isSettled: ring.isSealed && !ring.hasOldKeys,
      dataKeys: ring.dataKeys.list().length,
    };
  }

  /** Another key wraps: whoever had the one before may have the data keys too, so there is another one of those as well. */
  private async wrapBy(wrapping: WrappingKeys): Promise<void> {
    const { ring } = this;
    if (ring.isWrappedBy(wrapping)) return;
    // In this order: what fails here is tried again as a whole.
    await ring.renew(this.options.clock.nowMs());
    await ring.wrapBy(wrapping);
    this.options.logger.info(
      { key: wrapping.name },
      'another key wraps the data keys, and everything is encrypted anew',
    );
    this.wake.abort();
  }

  /**
   * Copies that were not installed and may be in clear, which are asked for again; and what LevelDB wrote about its files, with keys in
   * it, when they were in clear. It makes another manifest whenever it opens a database.
   */
  private async removeRemains(): Promise<void> {
    const { disk, folder } = this.options;
    for (const name of await disk.list(folder.path)) {
      const path = join(folder.path, name);
      if (RECEIVED_NAME.test(name) && !this.ring.isSealed) await disk.remove(path);
      if (STORE_NAME.test(name)) for (const notes of LEVEL_NOTES) await disk.remove(join(path, notes));
    }
  }

  /** Begins to bring everything under the newest key; the stores are open. */
  start(logStore: Pick<WalLogStore, 'renew'>): void {
    this.running = this.run(logStore);
  }

  /** Settles when nothing is under way; before stores and log are closed. */
  async stop(): Promise<void> {
    this.ended.abort();
    this.wake.abort();
    await this.running;
  }

  private async run(logStore: Pick<WalLogStore, 'renew'>): Promise<void> {
    const { signal } = this.ended;
    while (!signal.aborted) {
      this.wake = new AbortController();
      try {
        await this.round(logStore, signal);
      } catch (error) {
        if (!signal.aborted) this.options.onError(error);
      }
      if (!signal.aborted) await sleep(this.options.scheduler, ROUND_MS, this.wake.signal);
    }
  }

  private async round(logStore: Pick<WalLogStore, 'renew'>, signal: AbortSignal): Promise<void> {
    const { ring, levels } = this;
    const { clock, dataKeyDays, logger } = this.options;
    const ageMs = clock.nowMs() - ring.newestMadeMs;
    if (this.status().isSettled && dataKeyDays > 0 && ageMs > dataKeyDays * DAY_MS) await ring.renew(clock.nowMs());
    if (this.status().isSettled) return;
    const { newest } = ring.dataKeys;
    for (const level of [...levels.opened]) await this.moveAll(level, signal);
    if (signal.aborted || (await this.isAnyLeft())) return;
    await logStore.renew();
    // A replica may have come, or a swap have put another database in place, meanwhile.
    if (signal.aborted || ring.dataKeys.newest !== newest || (await this.isAnyLeft())) return;
    await ring.settle(newest);
    logger.info({ dataKey: newest }, 'everything that is stored is encrypted under the newest data key');
  }

  private async moveAll(level: SealedLevel, signal: AbortSignal): Promise<void> {
    const isOpen = (): boolean => this.levels.opened.has(level);
    while (!signal.aborted && isOpen()) {
      try {
        if (await level.move()) return;
      } catch (error) {
        // One that was closed meanwhile is found again when it is open.
        if (isOpen()) throw error;
      }
      await sleep(this.options.scheduler, STEP_PAUSE_MS, signal);
    }
  }

  /** A store of the folder has rows that are not under the newest key, or may have: it is not open. */
  private async isAnyLeft(): Promise<boolean> {
    const { disk, folder } = this.options;
    const names = await disk.list(folder.path);
    const opened = [...this.levels.opened];
    if (!opened.every((level) => level.isSettled)) return true;
    const locations = new Set(opened.map(({ location }) => location));
    const isDatabase = (name: string): boolean => STORE_NAME.test(name) || BESIDE_NAME.test(name);
    return names.some((name) => isDatabase(name) && !locations.has(join(folder.path, name)));
  }
}
