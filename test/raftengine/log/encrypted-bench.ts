/** A write-ahead log on one simulated machine, encrypted. */
import { SeededRandom } from '../../../src/platform/index.ts';
import { type DataKey, DataKeys } from '../../../src/security/index.ts';
import { WalBench } from './wal-bench.ts';

/** Data keys that differ by their numbers. */
export const testKey = (id: number): DataKey => ({ id, key: new SeededRandom(1000 + id).bytes(32) });

/**
 * Every process that opens the log has drawn nothing yet, and draws other salts than those before it.
 * @param keys the folder's
 */
export const encryptedBench = (seed: number, keys: readonly DataKey[] = [testKey(1)], allowsClear = false): WalBench =>
  new WalBench(seed, (bench) => ({
    sealing: new DataKeys(keys, bench.machine.random).sealing('log'),
    allowsClear,
  }));
