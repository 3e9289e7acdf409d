/** What a cluster says of itself before anything is written. */
import { CommandFailure } from '../cli/failure.ts';
import { formatCount } from '../cli/table.ts';
import { Lane } from '../redis/index.ts';
import { untilTaken, type WriterOptions } from './writer.ts';

interface HoldingDatabase {
  readonly database: number;
  readonly keys: number;
}

/** Databases that have keys. @throws ServerError, GaveUpError */
async function holdingDatabases(options: WriterOptions): Promise<HoldingDatabase[]> {
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

/** @throws CommandFailure when there are keys */
export async function requireEmpty(options: WriterOptions): Promise<void> {
  const databases = await holdingDatabases(options);
  if (databases.length === 0) return;
  const held = databases.map(({ database, keys }) => `${formatCount(keys)} keys in database ${database}`).join(', ');
  throw new CommandFailure(
    `the cluster holds ${held}; --replace writes over what has the same name, --keep-existing leaves it`,
  );
}
