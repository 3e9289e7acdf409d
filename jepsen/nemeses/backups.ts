/** Backups that are made all the time, whatever else happens; in calm the newest one is restored and looked at. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminCallError } from '../../src/adapter/grpc/index.ts';
import { restoredDifferently } from '../cluster/restored.ts';
import type { Nemesis, TestCluster } from '../types.ts';
import { Operator } from './operator.ts';
import { Orders, ordersOf } from './orders.ts';

/** In calm a backup that is under way must end, and the newest one be restored, within this. */
const REPAIR_TIMEOUT_MS = 60_000;
const REPAIR_PAUSE_MS = 200;

/** Begins a backup whenever none is under way. */
class Backups extends Orders {
  private readonly operator = new Operator(this.cluster);
  private isHistoryKept = false;

  protected async order(): Promise<string> {
    await this.keepHistory();
    const { running } = await this.operator.call('Backups', {});
    if (running !== undefined) return running.attempt > 1 ? 'begun again' : 'under way';
    await this.operator.call('CreateBackup', { place: this.cluster.backupFolder });
    return 'asked for';
  }

  /** The newest backup is what the cluster was at its moment. */
  protected override async repair(): Promise<void> {
    const { cluster } = this;
    const untilMs = performance.now() + REPAIR_TIMEOUT_MS;
    for (;;) {
      try {
        const id = await this.newest();
        if (id === undefined) return;
        const addresses = cluster.nodes.map((node) => cluster.adminAddress(node));
        const folder = `${cluster.backupFolder}-restored`;
        const groups = await restoredDifferently(id, cluster.backupFolder, addresses, folder);
        for (const group of groups) cluster.found(`backup ${id} differs from what group ${group} was at its moment`);
        this.count(groups.length === 0 ? 'restored and equal' : 'restored and different');
        return;
      } catch (error) {
        if (performance.now() > untilMs) throw error;
      }
      await sleep(REPAIR_PAUSE_MS);
    }
  }

  /** Of the moments of backups that are made from then on. */
  private async keepHistory(): Promise<void> {
    if (!this.isHistoryKept) await this.operator.keepHistory();
    this.isHistoryKept = true;
  }

  /** The newest whole backup when none is under way; undefined when there is none. @throws while one is */
  private async newest(): Promise<string | undefined> {
    const { running, last } = await this.operator.call('Backups', {});
    if (running !== undefined) throw new Error(`backup ${running.id} is under way: ${running.problem}`);
    if (last !== undefined) return last.id;
    // None was made while things broke: one in calm must work.
    try {
      await this.keepHistory();
      await this.operator.call('CreateBackup', { place: this.cluster.backupFolder });
    } catch (error) {
      // A program that is too old for backups runs beside this one.
      if (error instanceof AdminCallError && (error.isUnknownCall || error.code === 'FEATURE_UNSUPPORTED'))
        return undefined;
      throw error;
    }
    throw new Error('the first backup was just begun');
  }
}

export const backup: Nemesis = ordersOf(
  'backup',
  'makes backups all the time; each one that calm finds is restored, and is what the cluster was at its moment',
  (cluster: TestCluster, random) => new Backups(cluster, random),
);
