/** The catalog group as the catalog's leader uses it, and how it is made from the key-value layer of a node. */

import type { KvService, Operation, ScanPage, ScanRequest } from '../../kv/index.ts';
import type { Cancel, GroupId, HlcTimestamp, Millis, Scheduler, Term } from '../../platform/index.ts';

/** This node's replica of the catalog group. */
export interface CatalogGroup {
  /** True while this node leads the group and has applied everything of earlier terms. */
  readonly isServing: boolean;
  /** Term of the present leadership; another leadership has another term. Means nothing while `isServing` is false. */
  readonly term: Term;
  /** Hears that `isServing` or `term` may have changed, soon after it happened; being late does no harm. */
  onLeadership(listener: () => void): void;
  /** See `KvService.submit`. */
  submit<Reply>(operation: Operation<Reply>): void;
  /** See `KvService.scan`. */
  scan(request: ScanRequest): Promise<ScanPage>;
  /** See `KvService.nowTs`. */
  nowTs(): HlcTimestamp;
}

/** What `KvCatalogGroup` is made of. */
export interface KvCatalogGroupOptions {
  readonly kv: Pick<KvService, 'servesLocally' | 'submit' | 'scan' | 'nowTs'>;
  readonly groupId: GroupId;
  /** Leader and term of the group as the engine knows them. */
  readonly leader: () => { readonly term: Term } | undefined;
  readonly scheduler: Scheduler;
  /** How often leadership is looked at. */
  readonly pollMs?: Millis;
}

const DEFAULT_POLL_MS: Millis = 20;

/**
 * The catalog group over a node's `KvService`. Leadership is polled: a change that is seen late is harmless, because what is
 * submitted meanwhile is refused by the group, or by the guard on the meta row.
 */
export class KvCatalogGroup implements CatalogGroup {
  private readonly options: KvCatalogGroupOptions;
  private readonly listeners: (() => void)[] = [];
  private wasServing = false;
  private lastTerm: Term = 0;
  private cancel: Cancel | undefined;

  constructor(options: KvCatalogGroupOptions) {
    this.options = options;
  }

  get isServing(): boolean {
    return this.options.kv.servesLocally(this.options.groupId);
  }

  get term(): Term {
    return this.options.leader()?.term ?? this.lastTerm;
  }

  onLeadership(listener: () => void): void {
    this.listeners.push(listener);
  }

  submit<Reply>(operation: Operation<Reply>): void {
    this.options.kv.submit(this.options.groupId, operation);
  }

  scan(request: ScanRequest): Promise<ScanPage> {
    return this.options.kv.scan(this.options.groupId, request);
  }

  nowTs(): HlcTimestamp {
    return this.options.kv.nowTs();
  }

  /** Begins to look; the first look is at once. */
  start(): void {
    const { isServing, term } = this;
    if (isServing !== this.wasServing || (isServing && term !== this.lastTerm)) {
      this.wasServing = isServing;
      if (isServing) this.lastTerm = term;
      for (const listener of this.listeners) listener();
    }
    this.cancel = this.options.scheduler.after(this.options.pollMs ?? DEFAULT_POLL_MS, () => this.start());
  }

  stop(): void {
    this.cancel?.();
  }
}
