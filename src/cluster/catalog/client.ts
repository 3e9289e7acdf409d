/** The catalog from any node: questions go through the leader proxy, lost answers are asked for again. */

import type { ClusterState, JobRow } from '../../distribution/index.ts';
import { forwarded, type KvService, LeaderUnavailableError } from '../../kv/index.ts';
import {
  type Clock,
  type GroupId,
  isOutcomeUnknown,
  type Millis,
  type Scheduler,
  sleep,
} from '../../platform/index.ts';
import { BusyError } from '../../raftengine/index.ts';
import type { BalanceStatus, CatalogClient, CatalogReply, CatalogRequest, LoadReport } from '../contract/index.ts';
import {
  type CatalogAnswer,
  type CatalogQuestion,
  type ClusterStateVersion,
  decodeAnswer,
  encodeQuestion,
  type NodeReport,
  type VersionedClusterState,
} from './codec.ts';
import { CATALOG_SERVICE } from './endpoint.ts';
import { LostResultError } from './errors.ts';

/** Time for an operation when the caller does not say. */
const DEFAULT_TIMEOUT_MS: Millis = 10_000;
/** Time for one attempt: what has no answer by then is asked again. Longer than an election takes. */
const ATTEMPT_MS: Millis = 4_000;
/** Before a lost answer is asked for again. */
const REPEAT_PAUSE_MS: Millis = 20;

/** What `ForwardingCatalogClient` is made of. */
export interface ForwardingCatalogClientOptions {
  readonly kv: Pick<KvService, 'forward'>;
  readonly catalogGroup: GroupId;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/** See the top of the file. */
export class ForwardingCatalogClient implements CatalogClient {
  private readonly options: ForwardingCatalogClientOptions;

  constructor(options: ForwardingCatalogClientOptions) {
    this.options = options;
  }

  async run<Request extends CatalogRequest>(
    request: Request,
    timeoutMs: Millis = DEFAULT_TIMEOUT_MS,
  ): Promise<CatalogReply<Request>> {
    // A group with the next free id is the one thing that cannot be recognized again, unless its request has a name.
    const isNameless = request.kind === 'createGroup' && request.id === undefined && request.requestId === undefined;
    const isRepeatable = !isNameless;
    const reply = await this.ask({ kind: 'run', request, isRepeat: false }, timeoutMs, isRepeatable);
    return reply as CatalogReply<Request>;
  }

  jobs(timeoutMs: Millis = DEFAULT_TIMEOUT_MS): Promise<readonly JobRow[]> {
    return this.ask({ kind: 'jobs' }, timeoutMs, true);
  }

  clusterState(timeoutMs: Millis = DEFAULT_TIMEOUT_MS): Promise<ClusterState> {
    return this.ask({ kind: 'document' }, timeoutMs, true);
  }

  /**
   * Tells the catalog that a node lives.
   * @returns the cluster state when the node has another one
   * @throws CatalogError NODE_REMOVED and others; LeaderUnavailableError, OutcomeUnknownError: say it again
   */
  heartbeat(node: NodeReport, has: ClusterStateVersion, timeoutMs: Millis): Promise<VersionedClusterState | undefined> {
    return this.ask({ kind: 'heartbeat', node, has }, timeoutMs, false);
  }

  /** Tells the catalog's leader what a node has counted; once, whatever becomes of it. */
  async reportLoad(report: LoadReport, timeoutMs: Millis): Promise<void> {
    await this.ask({ kind: 'load', report }, timeoutMs, false);
  }

  /** How the rules of balancing stand at the catalog's leader. */
  balance(timeoutMs: Millis): Promise<BalanceStatus> {
    return this.ask({ kind: 'balance' }, timeoutMs, true);
  }

  /** Asks until there is an answer. Once an outcome is unknown it stays so, unless the catalog answers. */
  private async ask<Question extends CatalogQuestion>(
    question: Question,
    timeoutMs: Millis,
    isRepeatable: boolean,
  ): Promise<CatalogAnswer<Question['kind']>> {
    const { clock, scheduler } = this.options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    let payload = encodeQuestion(question);
    let lost: unknown;
    for (;;) {
      try {
        const untilMs = isRepeatable ? Math.min(deadlineMs, clock.monotonicMs() + ATTEMPT_MS) : deadlineMs;
        return decodeAnswer(await this.forward(payload, untilMs)) as CatalogAnswer<Question['kind']>;
      } catch (error) {
        const isUnavailable = error instanceof LeaderUnavailableError || error instanceof BusyError;
        if (!isUnavailable && !isUnknown(error)) throw error;
        if (!isUnavailable) lost = error;
        if (!isRepeatable || clock.monotonicMs() + REPEAT_PAUSE_MS >= deadlineMs) throw lost ?? error;
      }
      if (lost !== undefined && question.kind === 'run') payload = encodeQuestion({ ...question, isRepeat: true });
      await sleep(scheduler, REPEAT_PAUSE_MS);
    }
  }

  private forward(payload: Buffer, deadlineMs: Millis): Promise<Buffer> {
    const { kv, catalogGroup } = this.options;
    return forwarded(kv, catalogGroup, CATALOG_SERVICE, payload, deadlineMs);
  }
}

/** True when the operation may have happened and the catalog can be asked about it. */
const isUnknown = (error: unknown): boolean => isOutcomeUnknown(error) && !(error instanceof LostResultError);
