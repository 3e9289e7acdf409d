/** What a cluster says of itself before anything is written. */
import { Lane, untilTaken, type WriterOptions } from './writer.ts';

export interface HoldingDatabase {
  readonly database: number;
  readonly keys: number;
}

/** Databases that have keys. @throws ServerError, GaveUpError */
export async function holdingDatabases(options: WriterOptions): Promise<HoldingDatabase[]> {
  const lane = new Lane(options, 0);
  try {
    const [info] = await untilTaken(Math.min(options.giveUpMs, FIRST_ANSWER_MS), () =>
      lane.send(0, [['INFO', 'keyspace']]),
    );
    if (!Buffer.isBuffer(info)) throw info;
    return [...info.toString().matchAll(/^db(\d+):keys=(\d+)/gm)].map(([, database, keys]) => ({
      database: Number(database),
      keys: Number(keys),
    }));
  } finally {
    lane.close();
  }
}

/** Whoever named a wrong address hears of it soon. */
const FIRST_ANSWER_MS = 5_000;
