/** Reads a stream from its beginning on, as the libraries for streams do: every shard in pages, a child when its parent is read to its end. */
import {
  DescribeStreamCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  type _Record as Record_,
  type Shard,
} from '@aws-sdk/client-dynamodb-streams';
import type { Change } from '../../checkers/owned-items.ts';
import type { DynamoSession } from '../../dynamo-client.ts';

/** Records of a page. */
const PAGE = 50;
/** Pages of one shard in one round: a reader that is behind comes back. */
const MAX_PAGES = 40;

const numberOf = (image: Record_['dynamodb'], which: 'OldImage' | 'NewImage'): number | null => {
  const v = image?.[which]?.v?.N;
  return v === undefined ? null : Number(v);
};

const changeOf = ({ dynamodb }: Record_): Change => [
  dynamodb!.Keys!.k!.S!,
  numberOf(dynamodb, 'OldImage'),
  numberOf(dynamodb, 'NewImage'),
];

async function shardsOf({ streams }: DynamoSession, StreamArn: string): Promise<Shard[]> {
  const shards: Shard[] = [];
  let ExclusiveStartShardId: string | undefined;
  do {
    const { StreamDescription } = await streams.send(
      new DescribeStreamCommand({
        StreamArn,
        ...(ExclusiveStartShardId === undefined ? {} : { ExclusiveStartShardId }),
      }),
    );
    shards.push(...(StreamDescription?.Shards ?? []));
    ExclusiveStartShardId = StreamDescription?.LastEvaluatedShardId;
  } while (ExclusiveStartShardId !== undefined);
  return shards;
}

/** One reader. What fails leaves it where it was, and any client goes on for it. */
export class StreamFollower {
  /** By shard: where to go on; null when there is nothing more. */
  private iterators: ReadonlyMap<string, string | null> = new Map();
  private readonly tableName: string;
  private streamArn: string | undefined;

  constructor(tableName: string) {
    this.tableName = tableName;
  }

  /** What has come since the round before; nothing when nothing has. @throws the client's error */
  async round(session: DynamoSession): Promise<Change[]> {
    const { tableName: TableName } = this;
    this.streamArn ??= (await session.tables.describeTable({ TableName })).Table!.LatestStreamArn!;
    const shards = await shardsOf(session, this.streamArn);
    const iterators = new Map(this.iterators);
    const changes: Change[] = [];
    const names = new Set(shards.map(({ ShardId }) => ShardId));
    const isReadable = ({ ParentShardId: parent }: Shard): boolean =>
      parent === undefined || !names.has(parent) || iterators.get(parent) === null;
    // A parent comes before its children in the list.
    for (const shard of shards)
      if (isReadable(shard)) changes.push(...(await this.readShard(session, shard, iterators)));
    this.iterators = iterators;
    return changes;
  }

  private async readShard(
    { streams }: DynamoSession,
    { ShardId }: Shard,
    iterators: Map<string, string | null>,
  ): Promise<Change[]> {
    const shard = ShardId!;
    let next = iterators.get(shard);
    if (next === undefined) {
      const start = { StreamArn: this.streamArn!, ShardId: shard, ShardIteratorType: 'TRIM_HORIZON' as const };
      next = (await streams.send(new GetShardIteratorCommand(start))).ShardIterator!;
    }
    const changes: Change[] = [];
    for (let page = 0; page < MAX_PAGES && next !== null; page++) {
      const answer: { Records?: Record_[]; NextShardIterator?: string | undefined } = await streams.send(
        new GetRecordsCommand({ ShardIterator: next, Limit: PAGE }),
      );
      changes.push(...(answer.Records ?? []).map(changeOf));
      next = answer.NextShardIterator ?? null;
      if ((answer.Records ?? []).length === 0) break;
    }
    iterators.set(shard, next);
    return changes;
  }
}
