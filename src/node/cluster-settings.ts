/** Settings of Redis clients that the catalog keeps for all nodes. */
import type { ClusterSettings } from '../adapter/redis/index.ts';
import type { ForwardingCatalogClient } from '../cluster/index.ts';
import { type ClusterState, settingOf } from '../distribution/index.ts';
import { type Clock, type Millis, type Scheduler, sleep } from '../platform/index.ts';
import { derivedFrom } from './derived.ts';

/** A node hears of a change with its next heartbeat: a second, and the way there and back. */
const HEARTBEAT_MS: Millis = 1_200;
const LOOK_AGAIN_MS: Millis = 50;
/** When this node itself does not hear of it in this time, it is not waited for any longer. */
const PATIENCE_MS: Millis = 5_000;

export interface ClusterSettingsParts {
  readonly catalog: Pick<ForwardingCatalogClient, 'run'>;
  /** As this node was last told. */
  readonly clusterState: () => ClusterState | undefined;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/** Those of the cluster that a node is part of. */
export function clusterSettings({ catalog, clusterState, clock, scheduler }: ClusterSettingsParts): ClusterSettings {
  const told = derivedFrom(clusterState, (state) => settingOf(state, 'redis.keyspaceEvents'));
  const keyspaceEvents = (): string => told() ?? '';
  return {
    keyspaceEvents,
    async setKeyspaceEvents(letters) {
      if (letters === keyspaceEvents()) return;
      await catalog.run({ kind: 'setSetting', name: 'redis.keyspaceEvents', value: letters });
      const sinceMs = clock.monotonicMs();
      const waitedMs = (): Millis => clock.monotonicMs() - sinceMs;
      while (waitedMs() < HEARTBEAT_MS || (keyspaceEvents() !== letters && waitedMs() < PATIENCE_MS)) {
        await sleep(scheduler, LOOK_AGAIN_MS);
      }
    },
  };
}
