/** `SpanClient` over the leader proxy: from any node to the leader of any group. */
import type { JobId } from '../../distribution/index.ts';
import type { Clock, GroupId, Millis } from '../../platform/index.ts';
import type {
  BackfillPage,
  BackfillRequest,
  CapturePage,
  CapturePoint,
  ImportOutcome,
  ImportRequest,
  JobState,
  KvService,
  SpanClient,
  SpanReply,
  SpanRequest,
} from '../contract/index.ts';
import { forwarded } from '../forward/index.ts';
import {
  decodeBackfillPage,
  decodeCapturePage,
  decodeImportOutcome,
  decodeJobState,
  decodeSpanReply,
  encodeSpanMessage,
  SPAN_SERVICE,
  type SpanMessage,
} from './codec.ts';

/** How long one question looks for a leader and waits for its answer. */
export const SPAN_TIMEOUT_MS: Millis = 5_000;

/** See the head of the file. Asks each question once; who asks decides about again. */
export class ForwardingSpanClient implements SpanClient {
  private readonly kv: Pick<KvService, 'forward'>;
  private readonly clock: Clock;
  private readonly timeoutMs: Millis;

  constructor(kv: Pick<KvService, 'forward'>, clock: Clock, timeoutMs: Millis = SPAN_TIMEOUT_MS) {
    this.kv = kv;
    this.clock = clock;
    this.timeoutMs = timeoutMs;
  }

  private async ask<T>(message: SpanMessage, decode: (bytes: Buffer) => T): Promise<T> {
    const deadlineMs = this.clock.monotonicMs() + this.timeoutMs;
    return decode(await forwarded(this.kv, message.group, SPAN_SERVICE, encodeSpanMessage(message), deadlineMs));
  }

  command(group: GroupId, request: SpanRequest): Promise<SpanReply> {
    return this.ask({ kind: 'command', group, request }, decodeSpanReply);
  }

  job(group: GroupId, job: JobId): Promise<JobState> {
    return this.ask({ kind: 'job', group, job }, decodeJobState);
  }

  backfill(group: GroupId, request: BackfillRequest): Promise<BackfillPage> {
    return this.ask({ kind: 'backfill', group, request }, decodeBackfillPage);
  }

  captured(group: GroupId, job: JobId, from: CapturePoint, maxBytes: number): Promise<CapturePage> {
    return this.ask({ kind: 'captured', group, job, from, maxBytes }, decodeCapturePage);
  }

  import(group: GroupId, request: ImportRequest): Promise<ImportOutcome> {
    return this.ask({ kind: 'import', group, request }, decodeImportOutcome);
  }
}
