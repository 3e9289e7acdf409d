/** The ways to groups' leaders and to given nodes in matters of collection, and this node's own answers. */

import { forwarded, type KvService, LeaderUnavailableError } from '../../kv/index.ts';
import type { Clock, GroupId, HlcTimestamp, Millis, NodeId, PeerNetwork, Scheduler } from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import { decodeAnswer, decodeQuestion, encodeGc, GcMessageError, type NodeQuestion } from './codec.ts';
import { type CertifiableGroup, certify, raise } from './group-gc.ts';
import type { Certificate, NodeGcReport, RaiseReply } from './types.ts';

/** Name of the forwarded service, and kind of the stream. */
const SERVICE = 'gc';

/** How others reach groups and nodes. */
export interface GcChannel {
  /** @throws LeaderUnavailableError, OutcomeUnknownError: say it again, which is harmless */
  certify(group: GroupId, candidate: HlcTimestamp, timeoutMs: Millis): Promise<Certificate>;
  raise(group: GroupId, publishedTs: HlcTimestamp, timeoutMs: Millis): Promise<RaiseReply>;
  /** @throws when the node cannot be reached in time */
  report(node: NodeId, timeoutMs: Millis): Promise<NodeGcReport>;
  /** Has a node begin its passes now. */
  collect(node: NodeId, timeoutMs: Millis): Promise<void>;
}

export interface GcEndpointOptions {
  readonly kv: Pick<KvService, 'forward' | 'onForward'>;
  readonly network: Pick<PeerNetwork, 'self' | 'stream' | 'onStream'>;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** The replica here, when this node leads and serves its group. */
  readonly led: (group: GroupId) => CertifiableGroup | undefined;
  /** What this node says about itself. */
  readonly report: () => NodeGcReport;
  /** Begins passes over all stores here. */
  readonly collect: () => void;
}

async function* nothing(): AsyncGenerator<Buffer> {}

/** See the top of the file. Made before the network starts: it registers its handlers. */
export class GcEndpoint implements GcChannel {
  private readonly options: GcEndpointOptions;

  constructor(options: GcEndpointOptions) {
    this.options = options;
    const { kv, network } = options;
    kv.onForward(SERVICE, (payload, answer) => {
      this.serveGroup(payload).then(
        (reply) => answer(undefined, reply),
        (error: Error) => answer(error, undefined),
      );
    });
    network.onStream(SERVICE, async (_from, header) => this.serveNode(header));
  }

  certify(group: GroupId, ts: HlcTimestamp, timeoutMs: Millis): Promise<Certificate> {
    return this.askGroup<Certificate>({ kind: 'certify', group, ts }, timeoutMs);
  }

  raise(group: GroupId, ts: HlcTimestamp, timeoutMs: Millis): Promise<RaiseReply> {
    return this.askGroup<RaiseReply>({ kind: 'raise', group, ts }, timeoutMs);
  }

  async report(node: NodeId, timeoutMs: Millis): Promise<NodeGcReport> {
    if (node === this.options.network.self) return this.options.report();
    return decodeAnswer<NodeGcReport>(await this.askNode(node, { kind: 'report' }, timeoutMs));
  }

  async collect(node: NodeId, timeoutMs: Millis): Promise<void> {
    if (node === this.options.network.self) this.options.collect();
    else await this.askNode(node, { kind: 'collect' }, timeoutMs);
  }

  private async askGroup<Answer extends Certificate | RaiseReply>(
    question: { readonly kind: 'certify' | 'raise'; readonly group: GroupId; readonly ts: HlcTimestamp },
    timeoutMs: Millis,
  ): Promise<Answer> {
    const { kv, clock } = this.options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    return decodeAnswer<Answer>(await forwarded(kv, question.group, SERVICE, encodeGc(question), deadlineMs));
  }

  private async askNode(node: NodeId, question: NodeQuestion, timeoutMs: Millis): Promise<Buffer> {
    const { network, scheduler } = this.options;
    const abort = new AbortController();
    const cancel = scheduler.after(timeoutMs, () => {
      abort.abort(new LeaderUnavailableError(`node ${node} did not answer within ${Math.round(timeoutMs)} ms`));
    });
    try {
      return await network.stream(node, SERVICE, encodeGc(question), nothing(), abort.signal);
    } finally {
      cancel();
    }
  }

  private async serveGroup(payload: Buffer): Promise<Buffer> {
    const question = decodeQuestion(payload);
    if (question.kind !== 'certify' && question.kind !== 'raise')
      throw new GcMessageError('a group was asked what a node knows');
    const group = this.options.led(question.group);
    if (group === undefined) throw new NotLeaderError(undefined);
    return encodeGc(question.kind === 'certify' ? await certify(group, question.ts) : await raise(group, question.ts));
  }

  private serveNode(header: Buffer): Buffer {
    const { kind } = decodeQuestion(header);
    if (kind !== 'report' && kind !== 'collect') throw new GcMessageError('a node was asked what a group knows');
    if (kind === 'collect') this.options.collect();
    return encodeGc(kind === 'report' ? this.options.report() : undefined);
  }
}
