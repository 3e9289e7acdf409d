/** `snapshot`: archives of whole clusters: save, look at, restore. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { SnapshotClient } from '../../../src/adapter/grpc/index.ts';
import type { Archive, SavedCluster } from '../../../src/node/index.ts';
import { counted, type GroupId, groupId, SystemDisk } from '../../../src/platform/index.ts';
import { CommandFailure } from '../../cli/failure.ts';
import { packageVersion } from '../../cli/version.ts';
import type { Column } from '../output.ts';
import { addRestoreFlags, nodeParts, type RestoreFlags, restoreCluster } from '../restoring.ts';
import { type Declare, examples, type Session } from '../session.ts';
import { formatBytes, formatTime } from '../values.ts';

interface Listed {
  readonly path: string;
  readonly archive: Archive | undefined;
  readonly problem: string;
}

const sumOf = (archive: Archive | undefined, field: 'rows' | 'bytes'): number =>
  archive?.groups.reduce((sum, group) => sum + group[field], 0) ?? 0;

const COLUMNS: readonly Column<Listed>[] = [
  { name: 'folder', value: ({ path }) => path },
  { name: 'saved', value: ({ archive }) => (archive === undefined ? '-' : formatTime(archive.createdMs)) },
  { name: 'groups', align: 'right', value: ({ archive }) => String(archive?.groups.length ?? '-') },
  {
    name: 'rows',
    align: 'right',
    value: ({ archive }) => (archive === undefined ? '-' : String(sumOf(archive, 'rows'))),
  },
  {
    name: 'size',
    align: 'right',
    value: ({ archive }) => (archive === undefined ? '-' : formatBytes(sumOf(archive, 'bytes'))),
  },
  { name: 'of version', value: ({ archive }) => archive?.version ?? '-' },
  { name: 'problem', value: ({ problem }) => problem || '-' },
];

/** An archive in JSON: timestamps are text, they are longer than a number. */
const shown = (archive: Archive | undefined) => archive && { ...archive, at: archive.at.toString() };

/** The nodes of a cluster by what they lead. */
class LeadingNodes {
  private readonly session: Session;
  private readonly clients = new Map<string, SnapshotClient>();

  constructor(session: Session) {
    this.session = session;
  }

  /** The node that leads a group. @throws CommandFailure when nobody is known to */
  async client(group: GroupId): Promise<SnapshotClient> {
    const status = await this.session.cluster.call('Status', { groups: [group] });
    const leaders = status.nodes
      .flatMap(({ address, replicas }) => replicas.map((replica) => ({ address, replica })))
      .filter(({ replica }) => replica.role === 'leader')
      .sort((left, right) => right.replica.term - left.replica.term);
    const address = leaders[0]?.address;
    if (address === undefined || address === '') throw new CommandFailure(`nobody is known to lead group ${group}`);
    const { certificates, token } = this.session.proof;
    const client = this.clients.get(address) ?? new SnapshotClient(address, certificates, token);
    this.clients.set(address, client);
    return client;
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
  }
}

function savedCluster(session: Session, nodes: LeadingNodes): SavedCluster {
  const { cluster, terminal } = session;
  return {
    groups: async () => {
      const { groups } = await cluster.call('ListGroups', {});
      return groups.filter(({ state }) => state === 'ACTIVE').map(({ id }) => groupId(id));
    },
    catalog: async () => {
      const { jobs } = await cluster.call('Jobs', { id: 0, finishedLimit: 0 });
      let version = 0;
      for await (const page of cluster.stream('ListRoutes', { start: Buffer.alloc(0), limit: 1 }, false)) {
        version = page.version;
      }
      return { version, jobs: jobs.filter(({ isFinished }) => !isFinished).map(({ id }) => id) };
    },
    point: async (group) => (await nodes.client(group)).point(group, session.timeoutMs),
    async *copy(group, at, have) {
      yield* (await nodes.client(group)).copy(group, at, have, terminal.interrupted);
    },
  };
}

/** Adds the commands. */
export function addSnapshotCommands(program: Command, declare: Declare): void {
  const snapshot = examples(
    program
      .command('snapshot')
      .summary('save a cluster to a folder, check it, restore it as a new one')
      .description(
        'A snapshot is a folder with copies of all groups that are of one moment. Saving asks a running cluster; the other commands need none.',
      ),
    ['snapshot save /backup/monday', 'all groups, at one moment'],
    ['snapshot verify /backup/monday', 'reads every block'],
    [
      'snapshot restore /backup/monday /var/lib/kvorum --cluster-name kvorum',
      'the data folder of a new cluster of one node',
    ],
  );

  const save = snapshot
    .command('save')
    .summary('save all groups at one moment')
    .description(
      'Streams a copy of every group from its leader. A save that broke goes on with what is missing when it is said again.',
    )
    .argument('<folder>', 'absent or empty');
  declare(
    examples(save, ['snapshot save /backup/monday', 'while the cluster serves']),
    async (session, folder: string) => {
      const { saveArchive } = await nodeParts();
      const nodes = new LeadingNodes(session);
      try {
        const archive = await saveArchive({
          disk: new SystemDisk(),
          folder: resolve(folder),
          cluster: savedCluster(session, nodes),
          wallMs: Date.now(),
          version: packageVersion(),
          onGroup: (group, done, total) => session.progress(`copying group ${group}, ${done + 1} of ${total}`),
        });
        session.progressDone();
        session.outcome(
          shown(archive),
          `saved ${counted(archive.groups.length, 'group')} to ${folder}: ${counted(sumOf(archive, 'rows'), 'row')}, ${formatBytes(sumOf(archive, 'bytes'))}`,
        );
      } finally {
        nodes.close();
      }
    },
  );

  const verify = snapshot
    .command('verify')
    .summary('read every block of a snapshot')
    .description(
      'Proves every file against its checksums and its manifest, and names each that is damaged. Needs no cluster.',
    )
    .argument('<folder>', 'of a snapshot');
  declare(
    examples(verify, ['snapshot verify /backup/monday', 'before it is needed']),
    async (session, folder: string) => {
      const { verifyArchive } = await nodeParts();
      const check = await verifyArchive(new SystemDisk(), resolve(folder), (done, total) =>
        session.progress(`segment ${done + 1} of ${total}`),
      );
      session.progressDone();
      const { archive, problems } = check;
      if (problems.length > 0) {
        for (const problem of problems) session.note(problem);
        throw new CommandFailure(
          `${folder} is damaged: ${counted(problems.length, 'problem')}, and it must not be restored`,
        );
      }
      session.outcome(
        { ...check, archive: shown(archive) },
        `${folder} is sound: ${counted(archive?.groups.length ?? 0, 'group')}, ${counted(check.segments, 'segment')}, ` +
          `${counted(check.rows, 'row')}, ${formatBytes(check.bytes)}`,
      );
    },
  );

  const list = snapshot
    .command('list')
    .summary('which snapshots there are in a folder')
    .description(
      'Lists the snapshots in a folder, newest first. Looks at what they say of themselves only: `verify` reads all of one.',
    )
    .argument('[folder]', 'with snapshots in it', '.');
  declare(
    examples(list, ['snapshot list /backup', 'when they were saved, and how large they are']),
    async (session, folder: string) => {
      const { listArchives } = await nodeParts();
      const found = await listArchives(new SystemDisk(), resolve(folder));
      const value = found.map((each) => ({ ...each, archive: shown(each.archive) }));
      session.rows(value, COLUMNS, found);
    },
  );

  const restore = addRestoreFlags(
    snapshot
      .command('restore')
      .summary('make a data folder of a new cluster from a snapshot')
      .description(
        'Offline: proves the snapshot and writes the data folder of one node of a new cluster, whose timestamps begin above those of the old one. ' +
          'With several members, run it for each of them with the incarnation that the first one prints. The old cluster must be stopped for good.',
      )
      .argument('<folder>', 'of a snapshot')
      .argument('<data-folder>', 'absent or empty'),
  );
  declare(
    examples(
      restore,
      ['snapshot restore /backup/monday ./data --yes', 'then: kvorum server --data-folder ./data'],
      [
        'snapshot restore /backup/monday ./n2 --node-id 2 --members 1,2,3 --incarnation 1767225600000',
        'the second of three',
      ],
    ),
    async (session, folder: string, dataFolder: string, flags: RestoreFlags) => {
      const { folderSource } = await nodeParts();
      await restoreCluster(session, folderSource(new SystemDisk(), resolve(folder)), dataFolder, flags);
    },
  );
}
