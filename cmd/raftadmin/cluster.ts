/**
 * The cluster as raftadmin reaches it: a list of endpoints, of which any answers for all. The next one is tried when one is
 * not there. What may have happened already is not said to another node behind the user's back.
 */
import { AdminCallError, type AdminCalls, AdminClient, type AdminStreams } from '../../src/adapter/grpc/index.ts';
import { type CallerCertificates, explainHandshake, type Secret } from '../../src/security/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { ExitCode } from './exit-code.ts';
import { formatDuration } from './values.ts';

/** An endpoint that takes no connection within this is passed over. */
const CONNECT_MS = 2_000;
/** Calls that change nothing, or that go on wherever they are said again; they may be asked of one node after another. */
const READS: ReadonlySet<keyof AdminCalls> = new Set([
  'Status',
  'Health',
  'LogLevel',
  'Members',
  'ListGroups',
  'Jobs',
  'Nodes',
  'ListSettings',
  'ListUsers',
  'ListFeatures',
  'Balance',
  'Gc',
  'RunGc',
  'Backups',
  'Replace',
  'Drain',
  'DrainProgress',
  'Doctor',
  'Time',
  'Transactions',
]);
/** A node with one of these may be the only one: another may do better, and nothing has happened. */
const ELSEWHERE: ReadonlySet<string> = new Set(['STOPPED', 'NO_ROUTES', 'NOT_LEADER']);

export interface ClusterOptions {
  readonly endpoints: readonly string[];
  readonly timeoutMs: number;
  /** The user wants to stop. */
  readonly interrupted: AbortSignal;
  /** What the nodes are shown and checked by; undefined: plain text. */
  readonly certificates?: CallerCertificates | undefined;
  /** Shown with every call; undefined: none. */
  readonly token?: Secret | undefined;
}

/** See the top of the file. */
export class Cluster {
  private readonly options: ClusterOptions;
  private readonly clients = new Map<string, AdminClient>();
  /** The one that answered last; asked first. */
  private preferred: string | undefined;

  constructor(options: ClusterOptions) {
    this.options = options;
  }

  /** The endpoint that answered last. */
  get endpoint(): string | undefined {
    return this.preferred;
  }

  /** @throws CommandFailure with the message and the code of the cluster, or why nobody answered */
  async call<Name extends keyof AdminCalls>(name: Name, request: AdminCalls[Name][0]): Promise<AdminCalls[Name][1]> {
    const { timeoutMs, interrupted } = this.options;
    return this.anywhere(READS.has(name), (client) => client.call(name, request, timeoutMs, interrupted));
  }

  /**
   * Messages of a stream, from the first endpoint that is there.
   * @param isEndless it goes on until the user stops it
   */
  async *stream<Name extends keyof AdminStreams>(
    name: Name,
    request: AdminStreams[Name][0],
    isEndless: boolean,
  ): AsyncGenerator<AdminStreams[Name][1]> {
    const { timeoutMs, interrupted } = this.options;
    const first = await this.anywhere(true, async (client) => {
      const messages = client.stream(name, request, isEndless ? undefined : timeoutMs, interrupted);
      return { client, messages, head: await messages.next() };
    });
    try {
      for (let step = first.head; !step.done; step = await first.messages.next()) yield step.value;
    } catch (error) {
      throw this.failureOf(first.client, error, true);
    } finally {
      await first.messages.return(undefined);
    }
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
  }

  private client(endpoint: string): AdminClient {
    const { certificates, token } = this.options;
    const client = this.clients.get(endpoint) ?? new AdminClient(endpoint, certificates, token);
    this.clients.set(endpoint, client);
    return client;
  }

  private async anywhere<Result>(isRead: boolean, run: (client: AdminClient) => Promise<Result>): Promise<Result> {
    const { endpoints, timeoutMs } = this.options;
    const order = [...endpoints].sort((a, b) => Number(b === this.preferred) - Number(a === this.preferred));
    const silent: string[] = [];
    let answer: CommandFailure | undefined;
    for (const endpoint of order) {
      const client = this.client(endpoint);
      try {
        await client.connect(Math.min(CONNECT_MS, timeoutMs));
      } catch {
        silent.push(await this.silence(endpoint));
        continue;
      }
      try {
        const result = await run(client);
        this.preferred = endpoint;
        return result;
      } catch (error) {
        if (!(error instanceof AdminCallError)) throw error;
        if (this.options.interrupted.aborted) throw new CommandFailure('stopped; what was begun goes on');
        const failure = this.failureOf(client, error, isRead);
        // A node that does not know the call has done nothing; others may be newer.
        const mayGoOn = error.isUnknownCall || (error.code === undefined ? isRead : ELSEWHERE.has(error.code));
        if (!mayGoOn) throw failure;
        if (error.code === undefined && !error.isUnknownCall) silent.push(failure.message);
        else answer = failure;
      }
    }
    if (answer !== undefined) throw answer;
    throw new CommandFailure(
      `no endpoint answers: ${silent.join('; ')}. Name nodes that are up with --endpoints or RAFTADMIN_ENDPOINTS`,
      ExitCode.Unreachable,
    );
  }

  /** Why a node takes no connection. */
  private async silence(endpoint: string): Promise<string> {
    const { certificates, timeoutMs } = this.options;
    const reason = await explainHandshake(endpoint, certificates, Math.min(CONNECT_MS, timeoutMs));
    if (reason === undefined) return `${endpoint} takes no connection`;
    const advice = certificates === undefined ? ': name certificates with --tls-ca, --tls-cert and --tls-key' : '';
    return `${endpoint} takes no connection: ${reason}${advice}`;
  }

  private failureOf(client: AdminClient, error: unknown, isRead: boolean): CommandFailure {
    if (!(error instanceof AdminCallError)) return new CommandFailure(String(error));
    const { address } = client;
    if (error.code !== undefined) return new CommandFailure(error.message, ExitCode.Failed, error.code);
    if (error.isUnknownCall) {
      return new CommandFailure(`${address} does not know this command: what runs there is older; upgrade it`);
    }
    const what = error.isTimeout
      ? `${address} did not answer within ${formatDuration(this.options.timeoutMs)}`
      : `the connection to ${address} broke (${error.message})`;
    return new CommandFailure(
      isRead ? what : `${what}; it may have happened: look, and say it again, which does no harm`,
    );
  }
}
