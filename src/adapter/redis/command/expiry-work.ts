/** What the leader of a group does when a row of this adapter has expired that calls for work. */
import type { ExpiryWork } from '../../../kv/index.ts';
import type { Random } from '../../../platform/index.ts';
import { alarmWork, DEFAULT_BODY_LIMITS, DEFAULT_ENCODINGS } from '../bodies/index.ts';

/** Hashes whose expired fields nobody has purged. */
export const redisExpiryWork =
  (random: Random): ExpiryWork =>
  (key) =>
    alarmWork(key, (view) => ({
      view,
      storageKey: (storageKey) => storageKey,
      random,
      bodyLimits: DEFAULT_BODY_LIMITS,
      encodings: DEFAULT_ENCODINGS,
      // There is one already, or nothing is written.
      mayCreateBodies: true,
      mayCreateStreams: true,
    }));
