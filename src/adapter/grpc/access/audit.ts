/**
 * The record of what operators changed: a line a call, with who, from where, what, with which arguments, and what came of it.
 * Arguments are shown where they are numbers, or text that is known to hold no secret and no key of a user; of everything else
 * only the length is told, so that a field that is added later is no leak.
 */
import type { Clock, Millis } from '../../../platform/index.ts';
import { type Caller, HIDDEN } from '../../../security/index.ts';

/** The part of a pino logger that is used. */
export interface AuditLogger {
  info(facts: object, message: string): void;
}

/** One call that changes something, or would have. */
export interface AuditedCall {
  /** Undefined: it is not known who called. */
  readonly caller: Caller | undefined;
  /** Address of the other side. */
  readonly from: string;
  /** Such as `Split`. */
  readonly call: string;
  readonly request: object;
  /** `OK`, or the code of the error. */
  readonly result: string;
  readonly tookMs: Millis;
}

/** Fields whose text is shown as it is. */
const SHOWN: ReadonlySet<string> = new Set(['address', 'at', 'level', 'name', 'names', 'value']);
/** Names of requests and transactions. */
const SHOWN_BYTES: ReadonlySet<string> = new Set(['batchId', 'requestId', 'txnId']);
/** Rules of a user that have no password in them; what is misspelt may be one. */
const RULE = /^(?:[+\-~%&(].*|on|off|nopass|reset\w*|all\w+|nocommands|clearselectors|(?:skip-)?sanitize-payload)$/;
const MAX_ITEMS = 32;
const MAX_TEXT_LENGTH = 200;

/** Calls that were refused are told so many times in a while: whoever may do nothing must not fill the disk. */
const MOST_REFUSED = 100;
const WHILE_MS: Millis = 10_000;
const REFUSED: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'ROLE_MISSING']);

function shownText(field: string, text: string): string {
  if (field === 'rules' && !RULE.test(text)) return HIDDEN;
  if (field !== 'rules' && !SHOWN.has(field)) return `(${text.length} characters)`;
  return text.length <= MAX_TEXT_LENGTH ? text : `${text.slice(0, MAX_TEXT_LENGTH)}.. (${text.length} characters)`;
}

function shownValue(field: string, value: unknown): unknown {
  if (typeof value === 'string') return shownText(field, value);
  if (Buffer.isBuffer(value)) return SHOWN_BYTES.has(field) ? value.toString('hex') : `(${value.length} bytes)`;
  if (Array.isArray(value)) {
    const items = value.slice(0, MAX_ITEMS).map((item) => shownValue(field, item));
    return value.length <= MAX_ITEMS ? items : [...items, `(${value.length - MAX_ITEMS} more)`];
  }
  return typeof value === 'object' && value !== null ? shownArguments(value) : value;
}

/** The arguments of a call as they may be written down. */
export const shownArguments = (request: object): object =>
  Object.fromEntries(Object.entries(request).map(([field, value]) => [field, shownValue(field, value)]));

/** See the top of the file. */
export class AuditTrail {
  private readonly logger: AuditLogger;
  private readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Refused calls since `sinceMs`, and those of them that were not told. */
  private refused = 0;
  private untold = 0;
  private sinceMs: Millis = Number.NEGATIVE_INFINITY;

  /** @param logger writes whatever the level of the node's log is */
  constructor(logger: AuditLogger, clock: Pick<Clock, 'monotonicMs'>) {
    this.logger = logger;
    this.clock = clock;
  }

  /** Writes the line of a call that has ended. */
  record({ caller, from, call, request, result, tookMs }: AuditedCall): void {
    if (REFUSED.has(result) && !this.mayTell()) return;
    const untold = this.untold === 0 ? {} : { refusedBefore: this.untold };
    this.untold = 0;
    const who = {
      ...(caller?.certificate === undefined ? {} : { certificate: caller.certificate }),
      ...(caller?.token === undefined ? {} : { token: caller.token }),
    };
    const facts = { audit: call, ...who, from, arguments: shownArguments(request), result, tookMs: Math.round(tookMs) };
    this.logger.info(
      { ...facts, ...untold },
      REFUSED.has(result) ? 'an operator was refused' : 'an operator has acted',
    );
  }

  private mayTell(): boolean {
    const nowMs = this.clock.monotonicMs();
    if (nowMs - this.sinceMs >= WHILE_MS) {
      this.sinceMs = nowMs;
      this.refused = 0;
    }
    this.refused++;
    if (this.refused <= MOST_REFUSED) return true;
    this.untold++;
    return false;
  }
}
