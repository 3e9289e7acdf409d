/**
 * Switches features on where the catalog is led, as soon as every node of the table can do them, unless operators have
 * reserved that for themselves with the setting `features.auto`. It looks whenever the catalog changes, so a new cluster has all of them once its
 * last node was heard of, and now and then for attempts that failed.
 */
import { type CatalogState, FEATURES, nodesWithout, settingOf } from '../../distribution/index.ts';
import type { Cancel, Millis, Scheduler } from '../../platform/index.ts';
import type { CatalogLeader } from '../catalog/index.ts';

const LOOK_MS: Millis = 1_000;

export interface FeatureActivatorOptions {
  readonly leader: Pick<CatalogLeader, 'state' | 'run' | 'onChange'>;
  readonly scheduler: Scheduler;
  /** Hears of attempts that failed; they are repeated. */
  readonly onError: (error: unknown) => void;
}

/** See the top of the file. */
export class FeatureActivator {
  private readonly options: FeatureActivatorOptions;
  private cancel: Cancel | undefined;
  private stopListening: (() => void) | undefined;
  private isLooking = false;
  private isStopped = false;
  private round: Promise<void> = Promise.resolve();

  constructor(options: FeatureActivatorOptions) {
    this.options = options;
  }

  start(): void {
    this.stopListening = this.options.leader.onChange(() => this.begin());
    this.lookLater();
  }

  private lookLater(): void {
    this.cancel = this.options.scheduler.after(LOOK_MS, () => {
      this.begin();
      this.lookLater();
    });
  }

  private begin(): void {
    if (this.isLooking || activatable(this.options.leader.state).length === 0) return;
    this.isLooking = true;
    this.round = this.look()
      .catch((error: unknown) => this.options.onError(error))
      .finally(() => {
        this.isLooking = false;
      });
  }

  /** Settles when no activation is under way. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.stopListening?.();
    this.cancel?.();
    await this.round;
  }

  private async look(): Promise<void> {
    for (const name of activatable(this.options.leader.state)) {
      if (this.isStopped) return;
      await this.options.leader.run({ kind: 'activateFeature', name });
    }
  }
}

/** Features that are not active and that nobody stands in the way of. */
export function activatable(state: CatalogState | undefined): string[] {
  if (state?.meta === undefined || settingOf({ settings: [...state.settings.values()] }, 'features.auto') !== 'on')
    return [];
  return Object.entries(FEATURES).flatMap(([name, feature]) =>
    state.features.has(name) || nodesWithout(state, feature).length > 0 ? [] : [name],
  );
}
