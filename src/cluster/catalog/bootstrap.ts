/**
 * How a cluster begins: the leader of the catalog group finds no meta row, gives every group its ranges and writes the
 * catalog's first rows. Each step can be repeated, so a leader that dies on the way is followed by one that goes on: a group
 * that has its range answers `done` again, and the catalog begins once, because its rows are written only while there is
 * no meta row.
 */
import { CatalogError } from '../../distribution/index.ts';
import type { SpanClient } from '../../kv/index.ts';
import { type Cancel, type GroupId, type Millis, NEVER, type Scheduler } from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import { FoundingError } from './errors.ts';
import {
  type Assignment,
  decodeFounding,
  encodeFounding,
  FOUNDING_EPOCH,
  FOUNDING_KEY,
  type FoundingConfiguration,
  foundingPlan,
  reservedAssignment,
} from './founding.ts';
import type { CatalogGroup } from './group.ts';
import type { CatalogLeader } from './leader.ts';

/** Between attempts; a group may still be electing its first leader. */
const RETRY_MS: Millis = 200;

/** What `bootstrapCatalog` needs. */
export interface BootstrapOptions {
  readonly leader: CatalogLeader;
  readonly group: CatalogGroup;
  readonly catalogGroup: GroupId;
  readonly spans: Pick<SpanClient, 'command'>;
  readonly founding: FoundingConfiguration;
  readonly scheduler: Scheduler;
  /** Hears of what failed: `FoundingError` needs a human and is not tried again in this leadership, the rest is. */
  readonly onError: (error: unknown) => void;
}

/**
 * Founds the cluster as soon as this node leads the catalog group and finds no catalog; does nothing otherwise.
 * @returns ends it
 */
export function bootstrapCatalog(options: BootstrapOptions): () => void {
  const founder = new Founder(options);
  founder.look();
  return () => founder.stop();
}

class Founder {
  private readonly options: BootstrapOptions;
  private readonly stopListening: () => void;
  private isRunning = false;
  private isStopped = false;
  /** Term in which a refusal that only a human can solve was met. */
  private refusedTerm = 0;
  private cancelRetry: Cancel | undefined;

  constructor(options: BootstrapOptions) {
    this.options = options;
    this.stopListening = options.leader.onChange(() => this.look());
  }

  stop(): void {
    this.isStopped = true;
    this.stopListening();
    this.cancelRetry?.();
  }

  /** True while the catalog is to be founded by this node. */
  private isNeeded(): boolean {
    const { leader } = this.options;
    if (this.isStopped || leader.state === undefined || leader.state.meta !== undefined) return false;
    return leader.leaderTerm !== this.refusedTerm;
  }

  /** Begins an attempt unless one is under way. */
  look(): void {
    if (this.isRunning || !this.isNeeded()) return;
    this.isRunning = true;
    const { leader, scheduler, onError } = this.options;
    const term = leader.leaderTerm;
    this.found(term)
      .catch((error: unknown) => {
        if (error instanceof FoundingError) this.refusedTerm = term;
        // Who leads next goes on.
        if (!(error instanceof NotLeaderError)) onError(error);
      })
      .then(() => {
        this.isRunning = false;
        if (this.isNeeded()) this.cancelRetry = scheduler.after(RETRY_MS, () => this.look());
      });
  }

  private async found(term: number): Promise<void> {
    const { leader, catalogGroup, founding } = this.options;
    // Mistakes of the configuration are reported before anything is given away.
    foundingPlan(founding, catalogGroup);
    if (!(await this.assign(term, reservedAssignment(catalogGroup)))) return;
    const { assignments, op } = foundingPlan(await this.settleFounding(), catalogGroup);
    for (const assignment of assignments) if (!(await this.assign(term, assignment))) return;
    try {
      await leader.bootstrap(op);
    } catch (error) {
      if (error instanceof CatalogError && error.code === 'INVALID_GROUP') {
        throw new FoundingError(`the founding configuration is refused: ${error.message}`, undefined);
      }
      // Another leader was faster with the last step.
      if (!(error instanceof CatalogError && error.code === 'ALREADY_BOOTSTRAPPED')) throw error;
    }
  }

  /**
   * Gives one range to its group.
   * @returns false when it is not this leader's to give any more: once the catalog exists, ranges change hands only by moves
   */
  private async assign(term: number, { groupId, start, end }: Assignment): Promise<boolean> {
    const { leader, spans } = this.options;
    const hasCatalog = await leader.read((state) => state.meta !== undefined);
    if (hasCatalog || leader.leaderTerm !== term || this.isStopped) return false;
    const { outcome } = await spans.command(groupId, { kind: 'assign', start, end, epoch: FOUNDING_EPOCH });
    if (outcome.kind === 'done') return true;
    const [first, last] = [start, end].map((key) => (key === undefined ? 'the end' : `'${key.toString('latin1')}'`));
    throw new FoundingError(
      `group ${groupId} refuses the range from ${first} to ${last}: ${outcome.reason}; were its data founded by another configuration?`,
      groupId,
    );
  }

  /** The configuration that this cluster is founded by: the first one that was stored. */
  private settleFounding(): Promise<FoundingConfiguration> {
    const { group, founding } = this.options;
    return new Promise((resolve, reject) => {
      group.submit<FoundingConfiguration>({
        evaluate: (view) => {
          const stored = view.get(FOUNDING_KEY);
          if (stored !== undefined) return decodeFounding(stored.value);
          view.put(FOUNDING_KEY, encodeFounding(founding), NEVER);
          return founding;
        },
        complete: (error, reply) => (error === undefined ? resolve(reply!) : reject(error)),
      });
    });
  }
}
