/**
 * READONLY: reads of one connection that this node's replicas answer. They are as old as the connection allows at most, never
 * older than what it was shown before, and show what it did itself. What replicas cannot answer their leader does.
 */

import { ReadSession, type SessionSource } from '../../../kv/index.ts';
import type { GroupId, Millis } from '../../../platform/index.ts';
import type { CommandSpec } from '../command/index.ts';
import type { Reply } from '../protocol/index.ts';
import type { CommandRequest } from './group-request.ts';
import type { Route } from './routing.ts';

/** How old answers may be unless the client says otherwise. */
export const DEFAULT_STALENESS_MS: Millis = 10_000;
/** Nobody may ask for older ones. */
export const MAX_STALENESS_MS: Millis = 3_600_000;

/** What a read on a replica comes to; undefined: the leader has to be asked as always. */
type Outcome = Reply | undefined;

export class ReplicaReadMode {
  private readonly source: SessionSource | undefined;
  private readonly answered: (request: CommandRequest) => void;
  private stalenessMs: Millis = DEFAULT_STALENESS_MS;
  private session: ReadSession | undefined;
  /** True after READONLY: reads are not redirected either. */
  isOn = false;

  /** @param answered is told of each request that was answered here */
  constructor(source: SessionSource | undefined, answered: (request: CommandRequest) => void) {
    this.source = source;
    this.answered = answered;
  }

  switchOn(): void {
    if (this.isOn && this.session !== undefined) return;
    this.isOn = true;
    if (this.source === undefined) return;
    this.session ??= new ReadSession(this.source, this.stalenessMs);
    // What leaders answered before is not to be taken back.
    this.session.acted();
  }

  switchOff(): void {
    this.isOn = false;
  }

  /** RESET. */
  reset(): void {
    this.isOn = false;
    this.session = undefined;
    this.stalenessMs = DEFAULT_STALENESS_MS;
  }

  /** Bounds the age of answers from now on. */
  setStaleness(ms: Millis): void {
    if (ms === this.stalenessMs) return;
    this.stalenessMs = ms;
    this.session = undefined;
    if (this.isOn) this.switchOn();
  }

  /** A leader has answered a request of the connection. */
  acted(): void {
    if (this.isOn) this.session?.acted();
  }

  /** True for commands that may be answered here: reads of keys of one group. */
  covers(spec: CommandSpec, route: Route | undefined): boolean {
    if (!this.isOn || this.session === undefined || route?.group === undefined || route.crosses) return false;
    return spec.flags.includes('readonly');
  }

  /** Answers at once; undefined when that cannot be. @throws what the command throws */
  answerNow(group: GroupId, request: CommandRequest): { readonly reply: Reply } | undefined {
    const outcome = this.session!.evaluateNow(group, request.storageKeys(), (view) => request.evaluate(view));
    if (outcome !== undefined) this.finish(request);
    return outcome;
  }

  /** Answers with the leader's help. @throws what the command throws, and what keeps the leader from answering */
  async answer(group: GroupId, request: CommandRequest, deadlineMs: Millis): Promise<Outcome> {
    const keys = request.storageKeys();
    request.repeatDraws();
    const outcome = await this.session!.evaluate(group, keys, deadlineMs, (view) => request.evaluate(view));
    if (outcome !== undefined) this.finish(request);
    return outcome?.reply;
  }

  private finish(request: CommandRequest): void {
    request.emitEffects();
    this.answered(request);
  }
}
