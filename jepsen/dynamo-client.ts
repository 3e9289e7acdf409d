/**
 * One client process of DynamoDB: the AWS SDK on one node, with every automatic retry turned off, and the rule that says what
 * an error means. A transaction with a token may be sent again to whatever node answers: that is what tokens are for.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CreateTableCommandInput, DynamoDB, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb';
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import { DynamoDBDocument, type TransactWriteCommandInput } from '@aws-sdk/lib-dynamodb';
import { NothingHappened, type Outcome } from './client.ts';
import type { ClientAddress } from './types.ts';

/** What clients sign with; the nodes are told the same. */
export const DYNAMODB_KEY = { accessKeyId: 'jepsen', secretAccessKey: 'the secret of jepsen' };

/** Longer than the server's own deadline, so that the server's answer is what is recorded. */
const REQUEST_TIMEOUT_MS = 22_000;
const CONNECT_TIMEOUT_MS = 1_000;
/** For so long a transaction whose outcome is unknown is sent again; what is unknown then stays it. */
const TRANSACT_TIMEOUT_MS = 15_000;
const ATTEMPT_GAP_MS = 300;
const TABLE_TIMEOUT_S = 30;

/** Exceptions after which the write may have been done. */
const UNKNOWN_NAMES: readonly string[] = ['InternalServerError'];

const settings = ({ host, port }: ClientAddress) => ({
  endpoint: `http://${host}:${port}`,
  region: 'eu-west-1',
  // A copy: the SDK writes into it.
  credentials: { ...DYNAMODB_KEY },
  maxAttempts: 1,
  requestHandler: {
    connectionTimeout: CONNECT_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    throwOnRequestTimeout: true,
  },
});

/** See the top of the file. */
export class DynamoSession {
  /** Items as plain values. */
  readonly documents: DynamoDBDocument;
  readonly streams: DynamoDBStreamsClient;
  /** For operations on tables. */
  readonly tables: DynamoDB;
  /** This node first, then the others. */
  private readonly addresses: readonly ClientAddress[];
  private readonly others = new Map<
    ClientAddress,
    { readonly client: DynamoDBClient; readonly documents: DynamoDBDocument }
  >();

  constructor(addresses: readonly ClientAddress[]) {
    this.addresses = addresses;
    const [own] = addresses;
    this.tables = new DynamoDB(settings(own!));
    this.documents = DynamoDBDocument.from(this.tables);
    this.streams = new DynamoDBStreamsClient(settings(own!));
  }

  /** Makes a table and waits until it can be used. */
  async makeTable(table: CreateTableCommandInput): Promise<void> {
    const { TableName } = table;
    await this.tables.createTable(table);
    const waiter = { client: this.tables, maxWaitTime: TABLE_TIMEOUT_S, minDelay: 0.05, maxDelay: 0.2 };
    await waitUntilTableExists(waiter, { TableName: TableName! });
  }

  /**
   * Runs a transaction that has a token; one whose outcome is unknown is sent again with it, to the next node.
   * @param isTwice sent to two nodes at once, and once more when it is done
   * @throws what it was refused with, or the last error
   */
  async transact(
    TransactItems: NonNullable<TransactWriteCommandInput['TransactItems']>,
    isTwice = false,
  ): Promise<void> {
    const input = { TransactItems, ClientRequestToken: randomUUID() };
    const giveUpMs = performance.now() + TRANSACT_TIMEOUT_MS;
    const sendAside = (at: number): Promise<unknown> =>
      this.at(at)
        .transactWrite(input)
        .catch(() => undefined);
    const other = isTwice ? sendAside(1) : undefined;
    // What one of both is refused says nothing of the other.
    let isUncertain = isTwice;
    let attempt = 0;
    for (; ; attempt++) {
      try {
        await this.at(attempt).transactWrite(input);
        break;
      } catch (error) {
        isUncertain ||= dynamoOutcome(error, false).type === 'info';
        // What is refused now says nothing of an attempt before it whose outcome is unknown, unless the items were looked at.
        if (!isUncertain || isVerdict(error)) throw error;
        if (performance.now() >= giveUpMs) throw new UncertainError(error);
        await sleep(ATTEMPT_GAP_MS);
      }
    }
    await other;
    if (isTwice) await sendAside(attempt + 1);
  }

  /** The client of this node, then those of the others in turn. */
  private at(attempt: number): DynamoDBDocument {
    const at = attempt % this.addresses.length;
    if (at === 0) return this.documents;
    const address = this.addresses[at]!;
    const known = this.others.get(address);
    if (known !== undefined) return known.documents;
    const client = new DynamoDBClient(settings(address));
    const documents = DynamoDBDocument.from(client);
    this.others.set(address, { client, documents });
    return documents;
  }

  close(): void {
    for (const client of [this.tables, this.streams]) client.destroy();
    for (const { client } of this.others.values()) client.destroy();
  }
}

/** A transaction was sent several times, and the last error does not say what became of the first attempts. */
class UncertainError extends Error {
  override readonly name = 'UncertainError';

  constructor(cause: unknown) {
    super(`the outcome is unknown: ${(cause as Error).message}`, { cause });
  }
}

/** The node has looked at the items: had an earlier attempt with the token been done, it would have said so. */
const isVerdict = (error: unknown): boolean => {
  const { name, CancellationReasons } = error as { name?: string; CancellationReasons?: { Code?: string }[] };
  return (
    name === 'TransactionCanceledException' &&
    CancellationReasons?.some(({ Code }) => Code === 'ConditionalCheckFailed') === true
  );
};

/** Codes of connections that were never made. */
const NEVER_SENT: readonly string[] = ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH'];

/** What an error of the SDK means for the history. */
export function dynamoOutcome(error: unknown, isReadOnly: boolean): Outcome {
  const { name, message, code, $metadata } = error as {
    readonly name?: string;
    readonly message?: string;
    readonly code?: string;
    readonly $metadata?: { readonly httpStatusCode?: number };
  };
  const text = `${name ?? 'Error'}: ${message ?? String(error)}`;
  if (error instanceof NothingHappened) return { type: 'fail', error: text, connectionLost: false };
  if ($metadata?.httpStatusCode !== undefined) {
    const isUnknown = UNKNOWN_NAMES.includes(name ?? '') && !isReadOnly;
    return { type: isUnknown ? 'info' : 'fail', error: text, connectionLost: false };
  }
  const neverSent = NEVER_SENT.includes(code ?? '');
  return { type: isReadOnly || neverSent ? 'fail' : 'info', error: text, connectionLost: true };
}
