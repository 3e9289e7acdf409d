/** How many keys of a database expire, and when: a look at some keys of the groups that this node leads. */
import type { KvService } from '../../../kv/index.ts';
import { type Clock, KvorumError, type Millis, NEVER, physicalMs, type Random } from '../../../platform/index.ts';
import type { KeySample } from '../command/index.ts';
import { KEYSPACES, SLOT_COUNT } from '../keys/index.ts';

/** With so few keys all of them are looked at. */
const FEW_KEYS = 256;
/** Places that are drawn where there are more, and keys behind each. */
const DRAWS = 16;
const KEYS_A_DRAW = 16;
/** Stretches of groups that are walked through for one place. */
const MAX_STRETCHES = 64;

/** What is looked at. */
export interface SampledKeys {
  readonly kv: KvService;
  readonly clock: Clock;
  readonly random: Random;
}

/** @param count of the keys that the database has, about */
export async function sampleKeys({ kv, clock, random }: SampledKeys, db: number, count: number): Promise<KeySample> {
  const keyspace = KEYSPACES[db]!;
  const nowMs = clock.nowMs();
  /** Times that are left to keys, by their names; undefined: it stays. */
  const leftMs = new Map<string, Millis | undefined>();
  const look = async (from: Buffer, limit: number): Promise<void> => {
    const { end } = keyspace.wholeDb();
    let left = limit;
    for (let start = from, stretches = 0; left > 0 && stretches < MAX_STRETCHES; stretches++) {
      const stretch = kv.stretchAt(start);
      const stop = stretch.end !== undefined && Buffer.compare(stretch.end, end) < 0 ? stretch.end : end;
      if (kv.servesLocally(stretch.group)) {
        const { rows } = await kv.scan(stretch.group, {
          start,
          end: stop,
          limit: left,
          keysOnly: true,
          headsOnly: true,
        });
        for (const { key, expireTs } of rows) {
          leftMs.set(
            key.toString('latin1'),
            expireTs === NEVER ? undefined : Math.max(0, physicalMs(expireTs) - nowMs),
          );
        }
        left -= rows.length;
      }
      if (stop === end) return;
      start = stop;
    }
  };
  try {
    if (count <= FEW_KEYS) await look(keyspace.wholeDb().start, FEW_KEYS);
    else {
      for (let draw = 0; draw < DRAWS; draw++)
        await look(keyspace.slotRange(random.int(SLOT_COUNT), SLOT_COUNT).start, KEYS_A_DRAW);
    }
  } catch (error) {
    // A range that moves, a leader that goes: what was found until then will do.
    if (!(error instanceof KvorumError)) throw error;
  }
  const expiring = [...leftMs.values()].filter((ms) => ms !== undefined);
  return { keys: leftMs.size, expiring: expiring.length, leftMs: expiring.reduce((sum, ms) => sum + ms, 0) };
}
