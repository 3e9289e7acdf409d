/**
 * Backups on one node: its part in those that others make, the unit of work when it is this one's turn, and what operators ask.
 */
import {
  BackupError,
  type BackupGroup,
  type BackupManifest,
  type BackupPlace,
  cleanUp,
  expiredBackups,
  parsePlace,
  writeBackup,
} from '../../backup/index.ts';
import { type ClusterState, isFeatureActive, RESERVED_END } from '../../distribution/index.ts';
import type { ReadPins } from '../../kv/index.ts';
import { type Cancel, type GroupId, type HlcTimestamp, type Millis, NEVER, type NodeId } from '../../platform/index.ts';
import { AdminError, type BackupsView, type CatalogClient } from '../contract/index.ts';
import { type WorkContext, WorkRunner, type WorkTimes } from '../work/index.ts';
import { ARCHIVE_FEATURE, archiveViewOf } from './archive-view.ts';
import { ARCHIVE_UNIT, archiveWork, type KnownBackups } from './archive-work.ts';
import { BackupEndpoint, type BackupEndpointOptions } from './endpoint.ts';
import { ElsewhereError } from './messages.ts';
import { type BegunBackup, decodeBackupNotes } from './notes.ts';
import { type ArchiveSettings, archiveSettingsOf, type BackupSettings, backupSettingsOf } from './settings.ts';
import { type AskedBackup, BACKUP_UNIT, backupWork, nextBackupMs } from './work.ts';

/** Every node can store its copies. */
export const BACKUP_FEATURE = 'backups';

/** Groups whose copies are asked for at a time; each node does two of its own. */
const PARALLEL_GROUPS = 8;
const POINT_MS: Millis = 10_000;
/** Between looks at how far a backup is, which everybody can see then. */
const TELL_MS: Millis = 2_000;
/** A node that does not answer whether it has the key is not waited for any longer. */
const CHECK_MS: Millis = 10_000;
const DEFAULT_LOOK_MS: Millis = 10_000;
/** A backup that the archive of changes needs and that was given up is begun again after this. */
const BACKUP_AGAIN_MS: Millis = 600_000;
const ASK_MS: Millis = 20_000;
/** Used before this node was told of the settings. */
const DEFAULT_BYTES_PER_SECOND = 32 << 20;

export interface NodeBackupsOptions extends Omit<BackupEndpointOptions, 'bytesPerSecond'> {
  readonly nodeId: NodeId;
  readonly incarnation: Buffer;
  readonly clusterName: string;
  /** Of the program. */
  readonly version: string;
  readonly catalog: CatalogClient;
  /** As this node was last told; undefined before the first time. */
  readonly clusterState: () => ClusterState | undefined;
  /** Version of the routes, which the catalog's leader has confirmed since the call. */
  readonly confirmedRoutes: () => Promise<number>;
  /** What this node still reads of the past. */
  readonly pins: ReadPins;
  readonly times?: Partial<WorkTimes>;
  readonly onError: (error: unknown) => void;
}

/** See the top of the file. Made before the network starts: it registers its handlers. */
export class NodeBackups {
  private readonly options: NodeBackupsOptions;
  private readonly endpoint: BackupEndpoint;
  private readonly runner: WorkRunner;
  private readonly archiver: WorkRunner;
  private asked: AskedBackup | undefined;
  private told: ClusterState | undefined;
  private isToldToArchive = false;
  private isRunning = false;
  private onBegun: ((backup: BegunBackup) => void) | undefined;

  constructor(options: NodeBackupsOptions) {
    this.options = options;
    const { clock, random, onError, times } = options;
    this.endpoint = new BackupEndpoint({
      ...options,
      bytesPerSecond: () => this.settings()?.bytesPerSecond ?? DEFAULT_BYTES_PER_SECOND,
    });
    const unit = backupWork({
      settings: () => this.settings(),
      takeAsked: () => {
        const { asked } = this;
        this.asked = undefined;
        return asked;
      },
      onBegun: (backup) => this.onBegun?.(backup),
      make: (backup, onProgress, context) => this.make(backup, onProgress, context),
      cleanUp: (place) => this.cleanUp(place),
      ...{ clock, random, onError },
    });
    this.runner = new WorkRunner({
      ...options,
      times: { lookMs: DEFAULT_LOOK_MS, ...times },
      units: () => [unit],
      onError: (_unit, error) => onError(error),
    });
    // By itself: a backup may take hours, and whoever archives changes goes on and on.
    this.archiver = new WorkRunner({
      ...options,
      times: { lookMs: DEFAULT_LOOK_MS, ...times },
      units: () => [this.archiveUnit()],
      onError: (_unit, error) => onError(error),
    });
  }

  start(): void {
    if (this.options.surroundings === undefined) return;
    this.isRunning = true;
    this.runner.start();
    this.archiver.start();
  }

  /** Settles when nothing of it is under way. */
  async stop(): Promise<void> {
    this.isRunning = false;
    this.endpoint.stop();
    await Promise.all([this.runner.stop(), this.archiver.stop()]);
  }

  /**
   * Begins a backup, which this node makes, or another one when it dies. What would make it fail for sure is told before.
   * @param place undefined: where scheduled ones go
   * @returns its id, when it is in the notes
   * @throws AdminError; BackupKeyError, BackupError, errors of the place
   */
  async create(place: string | undefined, timeoutMs: Millis): Promise<{ readonly id: string }> {
    if (this.asked !== undefined) throw alreadyRunning('that was asked for');
    // This node may not have been told yet.
    const before = await this.view(timeoutMs);
    if (!before.isActive || this.options.surroundings === undefined) {
      throw new AdminError('BACKUPS_OFF', 'not every node can take part in backups: see the feature backups');
    }
    if (before.running !== undefined) throw alreadyRunning(before.running.id);
    const wanted = place ?? before.place;
    if (wanted === '') {
      throw new AdminError('INVALID_ARGUMENT', 'there is no place for backups yet: name one, or schedule some');
    }
    // All that can be wrong with the place and its key is wrong now.
    parsePlace(wanted);
    await (await this.endpoint.openPlace(wanted)).store.close();
    const begun = new Promise<BegunBackup>((resolve) => {
      this.onBegun = resolve;
    });
    this.asked = { place: wanted };
    const work = this.runner.runNow(BACKUP_UNIT).finally(() => {
      this.asked = undefined;
    });
    const first = await Promise.race([begun, work]);
    work.catch(this.options.onError);
    if (first === 'held') throw alreadyRunning('of another node');
    if (typeof first === 'string') {
      throw new AdminError('BACKUPS_OFF', 'the backup could not be begun: the catalog did not answer; try again');
    }
    return { id: first.id };
  }

  /** How the cluster stands with its backups. */
  async view(timeoutMs: Millis): Promise<BackupsView> {
    const { catalog, clock } = this.options;
    const state = await catalog.clusterState(timeoutMs);
    const row = state.work.find(({ name }) => name === BACKUP_UNIT);
    const notes = decodeBackupNotes(row?.progress);
    const { running, last, failed, cleaned } = notes;
    const settings = backupSettingsOf(state);
    const isHeld = row?.holder !== undefined && row.leaseUntilMs > clock.nowMs();
    return {
      isActive: isFeatureActive(state, BACKUP_FEATURE),
      ...(running && { running: { ...running, ...(isHeld ? { node: row.holder } : {}) } }),
      ...(last && { last }),
      ...(failed && { failed }),
      ...(cleaned && { cleaned }),
      ...settings,
      nextMs: dueMs(nextBackupMs(notes, settings), clock.nowMs()),
      archive: archiveViewOf(state, clock.nowMs()),
    };
  }

  /** Whether this node's stores are to note what changes; asked for each entry that is applied. That it is news begins the archive. */
  notesChanges(): boolean {
    const { clusterState, onError } = this.options;
    const state = clusterState();
    if (state === this.told) return this.isToldToArchive;
    const wasTold = this.isToldToArchive;
    this.told = state;
    this.isToldToArchive = this.archiveSettings() !== undefined;
    // One of the nodes gets the lease; nobody waits for the next look.
    if (this.isToldToArchive && !wasTold && this.isRunning) this.archiver.runNow(ARCHIVE_UNIT).catch(onError);
    return this.isToldToArchive;
  }

  private archiveSettings(): ArchiveSettings | undefined {
    const state = this.options.clusterState();
    return state === undefined || !isFeatureActive(state, ARCHIVE_FEATURE) ? undefined : archiveSettingsOf(state);
  }

  private archiveUnit(): ReturnType<typeof archiveWork> {
    const { catalog } = this.options;
    return archiveWork({
      ...this.options,
      settings: () => this.archiveSettings(),
      open: (place) => this.endpoint.openPlace(place),
      cluster: (place, placeId, signal) => ({
        groups: () => activeGroups(catalog),
        point: (group) => this.endpoint.point(group, POINT_MS),
        changes: (group, order) => this.endpoint.changes(group, { place, placeId }, order, signal),
        firstKey: RESERVED_END,
      }),
      backups: (place) => this.knownBackups(place),
      askBackup: (place) => this.create(place, ASK_MS),
      holdPast: () => this.hold(undefined, ARCHIVE_UNIT),
    });
  }

  private async knownBackups(place: string): Promise<KnownBackups> {
    const { catalog, clock } = this.options;
    const { work } = await catalog.clusterState();
    const { running, last, failed, cleaned } = decodeBackupNotes(
      work.find(({ name }) => name === BACKUP_UNIT)?.progress,
    );
    const wasGivenUp = failed !== undefined && clock.nowMs() - failed.atMs < BACKUP_AGAIN_MS;
    return {
      mark: `${last?.id ?? ''} ${cleaned?.atMs ?? 0}`,
      lastMs: last?.place === place ? last.begunMs : 0,
      isUnderWay: running !== undefined || wasGivenUp,
    };
  }

  private settings(): BackupSettings | undefined {
    const state = this.options.clusterState();
    return state === undefined || !isFeatureActive(state, BACKUP_FEATURE) ? undefined : backupSettingsOf(state);
  }

  private async make(
    backup: BegunBackup,
    onProgress: (progress: Partial<BegunBackup>) => void,
    { signal, save }: WorkContext,
  ): Promise<BackupManifest> {
    const { clusterName, version, clock, random, scheduler, onError } = this.options;
    const place = await this.endpoint.openPlace(backup.place);
    const stop = new AbortController();
    const over = AbortSignal.any([signal, stop.signal]);
    let renew = async (): Promise<void> => undefined;
    let cancel: Cancel = () => undefined;
    const tellLater = (): void => {
      cancel = scheduler.after(TELL_MS, () => {
        const told = save(Buffer.alloc(0)).catch(onError);
        // Whoever cleans up may have taken the mark for one that was left behind.
        void Promise.all([told, renew()])
          .catch((error: unknown) => stop.abort(error))
          .finally(() => {
            if (!over.aborted) tellLater();
          });
      });
    };
    try {
      await this.checkOthers(backup, place, over);
      tellLater();
      return await writeBackup({
        place,
        id: backup.id,
        facts: { createdMs: backup.begunMs, version, clusterName },
        cluster: this.copiedCluster(backup, place, onProgress, over),
        nowMs: () => clock.nowMs(),
        random,
        parallel: PARALLEL_GROUPS,
        onGroup: (_group, _done, groups) => onProgress({ groups }),
        onBegun: (renewMark) => {
          renew = renewMark;
        },
        signal: over,
      });
    } catch (error) {
      signal.throwIfAborted();
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      stop.abort();
      cancel();
      await place.store.close();
    }
  }

  /** A node that may lead a group has to see the place and have its key; said before anything is stored. @throws BackupError */
  private async checkOthers({ place }: BegunBackup, { id }: BackupPlace, signal: AbortSignal): Promise<void> {
    const { catalog, nodeId, onError } = this.options;
    const { nodes } = await catalog.clusterState();
    const others = nodes.filter((node) => node.nodeId !== nodeId);
    const outcomes = await Promise.allSettled(
      others.map((node) =>
        this.endpoint.check(node.nodeId, place, id, AbortSignal.any([signal, this.timeout(CHECK_MS)])),
      ),
    );
    signal.throwIfAborted();
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue;
      const { reason } = outcome;
      if (reason instanceof ElsewhereError && reason.disposition === 'final') {
        throw new BackupError(`${reason.message}; every node has to reach the place and have the key`, {
          cause: reason,
        });
      }
      // One that is down leads nothing.
      onError(reason);
    }
  }

  private timeout(delayMs: Millis): AbortSignal {
    const abort = new AbortController();
    this.options.scheduler.after(delayMs, () => abort.abort(new BackupError(`no answer within ${delayMs} ms`)));
    return abort.signal;
  }

  private copiedCluster(
    { place }: BegunBackup,
    { id: placeId }: BackupPlace,
    onProgress: (progress: Partial<BegunBackup>) => void,
    signal: AbortSignal,
  ): Parameters<typeof writeBackup>[0]['cluster'] {
    const { catalog, confirmedRoutes } = this.options;
    const parts = new Map<GroupId, { readonly bytes: number; readonly doneBytes: number; readonly newBytes: number }>();
    let groupsDone = 0;
    const tell = (): void => {
      const sum = (of: 'bytes' | 'doneBytes' | 'newBytes'): number =>
        [...parts.values()].reduce((total, part) => total + part[of], 0);
      onProgress({ groupsDone, bytes: sum('bytes'), doneBytes: sum('doneBytes'), newBytes: sum('newBytes') });
    };
    return {
      groups: () => activeGroups(catalog),
      catalog: async () => {
        const jobs = await catalog.jobs();
        const open = jobs.filter(({ phase }) => phase !== 'DONE' && phase !== 'ABORTED').map((job) => job.id);
        return { version: await confirmedRoutes(), jobs: open };
      },
      point: (group) => this.endpoint.point(group, POINT_MS),
      hold: (at) => {
        parts.clear();
        groupsDone = 0;
        return this.hold(at, 'backup');
      },
      copy: async (group, at): Promise<BackupGroup> => {
        const copy = await this.endpoint.upload(
          group,
          { place, placeId, at },
          (part) => {
            parts.set(group, part);
            tell();
          },
          signal,
        );
        groupsDone += 1;
        tell();
        return copy;
      },
    };
  }

  /** The past at a moment stays readable until that is over. @param at undefined: all that still is */
  private hold(at: HlcTimestamp | undefined, purpose: string): () => void {
    const { pins, scheduler } = this.options;
    const pin = pins.pin(at ?? NEVER, purpose);
    let cancel: Cancel = () => undefined;
    const renewLater = (): void => {
      cancel = scheduler.after(TELL_MS, () => {
        pin.renew();
        renewLater();
      });
    };
    renewLater();
    return () => {
      cancel();
      pin.release();
    };
  }

  private async cleanUp(place: string): ReturnType<typeof cleanUp> {
    const { catalog, clusterName, clock, random } = this.options;
    const settings = backupSettingsOf(await catalog.clusterState());
    const opened = await this.endpoint.openPlace(place);
    try {
      return await cleanUp({
        place: opened,
        // Another cluster may have its backups there too.
        choose: (backups) =>
          expiredBackups(
            backups.filter((backup) => backup.clusterName === clusterName),
            settings,
            clock.nowMs(),
          ),
        nowMs: () => clock.nowMs(),
        random,
      });
    } finally {
      await opened.store.close();
    }
  }
}

/** By id. */
async function activeGroups(catalog: Pick<CatalogClient, 'clusterState'>): Promise<GroupId[]> {
  const { groups } = await catalog.clusterState();
  const ids = groups.filter(({ state }) => state === 'ACTIVE').map((group) => group.id);
  return ids.sort((left, right) => left - right);
}

/** One that is overdue, or was never made, comes now. */
const dueMs = (nextMs: Millis | undefined, nowMs: Millis): Millis =>
  nextMs === undefined ? 0 : Math.max(nextMs, nowMs);

const alreadyRunning = (id: string): AdminError =>
  new AdminError('BACKUP_RUNNING', `backup ${id} is being made; one at a time`);
