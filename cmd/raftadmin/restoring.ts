/** A new cluster out of an archive, wherever that is: the flags, the question before it, and what is said behind it. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ArchiveSource } from '../../src/node/index.ts';
import { counted, nodeId, physicalMs, SystemDisk, SystemRandom } from '../../src/platform/index.ts';
import type { Session } from './session.ts';
import { formatMoment, parseId, parseNodeId, parseNodeIds } from './values.ts';

/** What a node is made of, for the few commands that need it: it is most of all code, and every command would wait until it is loaded. */
export const nodeParts = (): Promise<typeof import('../../src/node/index.ts')> => import('../../src/node/index.ts');

/** What a restore is told. */
export interface RestoreFlags {
  readonly nodeId: number;
  readonly members?: number[];
  readonly clusterName: string;
  readonly incarnation?: number;
}

/** Adds the flags. */
export const addRestoreFlags = (command: Command): Command =>
  command
    .option('--node-id <id>', 'the node whose folder it is', parseNodeId, 1)
    .option('--members <ids>', 'voters of every group, such as 1,2,3; default: the node alone', parseNodeIds)
    .option('--cluster-name <name>', 'name of the new cluster', 'kvorum')
    .option('--incarnation <number>', 'of the new cluster: what the first member printed', parseId);

/** Asks, restores, and says how to start it. */
export async function restoreCluster(
  session: Session,
  source: ArchiveSource,
  dataFolder: string,
  flags: RestoreFlags,
): Promise<void> {
  const members = (flags.members ?? [flags.nodeId]).map((id) => nodeId(id));
  await session.confirm(
    `A new cluster will be made of ${source.place}, with the members ${members.join(', ')}. ` +
      'Two clusters with the same data must not both take writes: stop the old one.',
  );
  const { restoreArchive } = await nodeParts();
  const report = await restoreArchive({
    disk: new SystemDisk(),
    random: new SystemRandom(),
    wallMs: Date.now(),
    source,
    dataFolder: resolve(dataFolder),
    clusterName: flags.clusterName,
    node: nodeId(flags.nodeId),
    members,
    incarnation: flags.incarnation,
    onGroup: (group, done, total) => session.progress(`restoring group ${group}, ${done + 1} of ${total}`),
  });
  session.progressDone();
  const { archive, at: moment, incarnation, floorMs, rows } = report;
  const { createdMs, version, at, catalogVersion, groups } = archive;
  session.outcome(
    {
      archive: { createdMs, version, at: at.toString(), catalogVersion, groups },
      at: moment.toString(),
      ...{ incarnation, floorMs, rows },
    },
    `${dataFolder} holds ${counted(groups.length, 'group')} for node ${flags.nodeId}, as of ${formatMoment(physicalMs(moment))}; incarnation ${incarnation}. ` +
      `Start it with: kvorum server --node-id ${flags.nodeId} --data-folder ${dataFolder} --cluster-name ${flags.clusterName}`,
  );
}
