/** Changes that are archived all the time, whatever else happens; in calm some moments of the disorder are restored and looked at. */
import { setTimeout as sleep } from 'node:timers/promises';
import { timestampOfMs } from '../../src/platform/index.ts';
import { isMomentRestored } from '../cluster/restored.ts';
import type { Nemesis, TestCluster } from '../types.ts';
import { Operator } from './operator.ts';
import { Orders, ordersOf } from './orders.ts';

const EVERY_MS = 200;
/** In calm the archive must get on, and moments be restored, within this. */
const REPAIR_TIMEOUT_MS = 120_000;
const REPAIR_PAUSE_MS = 200;
const MOMENTS = 2;

/** Sees to it that changes are archived, and makes another backup for them to lead on from now and then. */
class Archives extends Orders {
  private readonly operator = new Operator(this.cluster);
  private isSet = false;

  protected async order(): Promise<string> {
    if (!this.isSet) {
      await this.operator.keepHistory();
      await this.set('backup.place', this.cluster.backupFolder);
      await this.set('backup.archiveEveryMs', EVERY_MS);
      this.isSet = true;
      return 'begun';
    }
    const { archive, running } = await this.operator.call('Backups', {});
    if (archive.sinceMs === 0) return 'no backup to lead on from yet';
    if (running !== undefined || this.random.next() > 0.1) return archive.failures > 0 ? 'behind' : 'going on';
    await this.operator.call('CreateBackup', { place: this.cluster.backupFolder });
    return 'asked for another backup';
  }

  private async set(name: string, value: string | number): Promise<void> {
    await this.operator.call('SetSetting', { name, value: String(value) });
  }

  /** Every moment of the window is what the cluster was then. */
  protected override async repair(): Promise<void> {
    const calmMs = Date.now();
    const deadlineMs = performance.now() + REPAIR_TIMEOUT_MS;
    const seen = new Set<number>();
    for (;;) {
      try {
        if (!this.isSet) this.count(await this.order());
        const { archive } = await this.operator.call('Backups', {});
        const { sinceMs, untilMs, broken } = archive;
        if (broken !== undefined) this.cluster.found(`the archive of changes broke off: ${broken.why}`);
        if (sinceMs === 0 || untilMs < calmMs) throw new Error(`changes are archived up to ${untilMs}`);
        while (seen.size < MOMENTS) await this.look(seen, sinceMs, untilMs);
        return;
      } catch (error) {
        if (performance.now() > deadlineMs) throw error;
      }
      await sleep(REPAIR_PAUSE_MS);
    }
  }

  private async look(seen: Set<number>, sinceMs: number, untilMs: number): Promise<void> {
    const { cluster } = this;
    const atMs = sinceMs + 1 + Math.floor(this.random.next() * (untilMs - sinceMs - 1));
    const addresses = cluster.nodes.map((node) => cluster.adminAddress(node));
    const folder = `${cluster.backupFolder}-moment`;
    const isEqual = await isMomentRestored(timestampOfMs(atMs), cluster.backupFolder, addresses, folder);
    if (!isEqual) cluster.found(`the moment ${atMs} is restored as something that the cluster was not`);
    this.count(isEqual ? 'restored and equal' : 'restored and different');
    seen.add(atMs);
  }
}

export const archive: Nemesis = ordersOf(
  'archive',
  'archives changes all the time; in calm moments of the disorder are restored, and are what the cluster was then',
  (cluster: TestCluster, random) => new Archives(cluster, random),
);
