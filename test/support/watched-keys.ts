/** Data keys that see every nonce that is used, whether or not what was sealed with it has come to a disk. */
import type { Random } from '../../src/platform/index.ts';
import { type DataKey, DataKeys, SEAL_BYTES, Sealing } from '../../src/security/index.ts';

const TAG_BYTES = 16;

/** Nonces that were used, over the lives of many processes and copies of a folder, each with the key that it was used with. */
export class UsedNonces {
  private readonly seen = new Set<string>();
  /** Those that were used more than once. */
  readonly twice: string[] = [];

  get size(): number {
    return this.seen.size;
  }

  /** Does not throw: whoever seals may take an error for one of the disk. */
  use(nonce: string): void {
    if (this.seen.has(nonce)) this.twice.push(nonce);
    this.seen.add(nonce);
  }
}

class WatchedSealing extends Sealing {
  private readonly watchedUse: string;
  private readonly used: UsedNonces;

  constructor(keys: DataKeys, use: string, used: UsedNonces) {
    super(keys, use);
    this.watchedUse = use;
    this.used = used;
  }

  override sealInto(into: Buffer, at: number, piece: Buffer, about: Buffer): number {
    const end = super.sealInto(into, at, piece, about);
    // The data key, the salt and the use make the key; the number is the nonce.
    this.used.use(`${this.watchedUse}: ${into.toString('hex', end - SEAL_BYTES, end - TAG_BYTES)}`);
    return end;
  }
}

/** See the top of the file. */
export class WatchedKeys extends DataKeys {
  private readonly used: UsedNonces;

  constructor(keys: readonly DataKey[], random: Random, used: UsedNonces) {
    super(keys, random);
    this.used = used;
  }

  override sealing(use: string): Sealing {
    return new WatchedSealing(this, use, this.used);
  }
}
