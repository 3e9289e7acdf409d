/** A table with a stream: readers go along while items change, and in the end the whole stream is held against the table. */
import { type Change, type Drained, type Found, streamChecker } from '../../checkers/owned-items.ts';
import { NothingHappened } from '../../client.ts';
import type { DynamoSession } from '../../dynamo-client.ts';
import type { Workload } from '../../types.ts';
import { OwnedItems, type OwnedWrite } from './owned-items.ts';
import { StreamFollower } from './stream-follower.ts';
import { keyed } from './tables.ts';
import { BESIDE, writeOwned } from './write-owned.ts';

const TABLE = 'streamed';
const SLOTS_PER_WORKER = 3;
const TAILED_SHARE = 0.2;
/** A stream is at its end when so many rounds bring nothing. */
const QUIET_ROUNDS = 3;

async function scan({ documents }: DynamoSession): Promise<Found> {
  const found: [string, number][] = [];
  let ExclusiveStartKey: Record<string, unknown> | undefined;
  do {
    const page = await documents.scan({ TableName: TABLE, ConsistentRead: true, ExclusiveStartKey });
    for (const { k, v } of page.Items ?? []) found.push([k as string, v as number]);
    ExclusiveStartKey = page.LastEvaluatedKey;
  } while (ExclusiveStartKey !== undefined);
  return found;
}

/** @throws NothingHappened when somebody still writes */
async function drain(session: DynamoSession): Promise<Drained> {
  const items = await scan(session);
  const follower = new StreamFollower(TABLE);
  const changes: Change[] = [];
  for (let quiet = 0; quiet < QUIET_ROUNDS; ) {
    const more = await follower.round(session);
    quiet = more.length === 0 ? quiet + 1 : 0;
    changes.push(...more);
  }
  if (JSON.stringify(await scan(session)) !== JSON.stringify(items)) {
    throw new NothingHappened('the table has changed meanwhile');
  }
  return { changes, items };
}

/** Writes of items that one client each owns, and readers of the stream of their table. */
export function dynamoStream(): Workload<DynamoSession> {
  const items = new OwnedItems(SLOTS_PER_WORKER);
  /** By the worker that reads. */
  const followers = new Map<number, StreamFollower>();
  return {
    name: 'dynamo-stream',
    description:
      'DynamoDB: records of a stream are complete and in order for readers that go along, and rebuild the table',
    checker: streamChecker,
    async setup(session) {
      await session.makeTable(keyed(BESIDE));
      await session.makeTable(keyed(TABLE, { isStreamed: true }));
    },
    generate: ({ worker, random }) =>
      random.next() < TAILED_SHARE ? { f: 'tail', value: worker } : { f: 'write', value: items.next(worker, random) },
    finalOperations: [{ f: 'drain', value: null }],
    isReadOnly: (f) => f !== 'write',
    async execute(session, { f, value }) {
      if (f === 'write') {
        await writeOwned(session, items, TABLE, value as OwnedWrite);
        return value;
      }
      if (f === 'drain') return drain(session);
      const worker = value as number;
      const follower = followers.get(worker) ?? new StreamFollower(TABLE);
      followers.set(worker, follower);
      return { changes: await follower.round(session) };
    },
  };
}
