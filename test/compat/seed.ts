/**
 * The seed of this process' random tests. It is a part of their names: whatever is kept of a report in which one has failed, there is the
 * seed. `KVORUM_DIFFERENTIAL_SEED` replays one.
 */
import { randomInt } from 'node:crypto';

const GIVEN = process.env.KVORUM_DIFFERENTIAL_SEED;

/** For the options of `fc.assert`. */
export const SEED = GIVEN === undefined ? randomInt(2 ** 31) : Number(GIVEN);

/** The name of a test that goes by the seed. */
export const seeded = (name: string): string => `${name} (seed ${SEED})`;
