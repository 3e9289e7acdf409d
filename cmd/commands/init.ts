/** `kvorum init`: configurations and certificates of a new cluster on several machines. */
import { join } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { nodeSettings } from '../../src/config/index.ts';
import { checkedName } from '../certs/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { parseHost } from '../cli/option-values.ts';
import { formatTable } from '../cli/table.ts';
import { ADMIN, addLaterNode, isFolderTaken, nodeName, OWN_SETTINGS, writeCluster } from '../init/index.ts';
import { AUTHORITY_DAYS, CERTIFICATE_DAYS } from './certs.ts';

const EXAMPLES = `
Examples:
  kvorum init ./shop 10.0.0.1 10.0.0.2 10.0.0.3 --cluster-name shop
      a cluster of three machines: ./shop/node1 is what belongs into /etc/kvorum of the first, and so on
  kvorum init ./shop db1 db2 db3 --dynamodb --set redis.clusterPort=7379 --set memory=4gb
      with DynamoDB, a port for Redis Cluster clients, and more memory
  kvorum init ./shop 10.0.0.4 --add
      a fourth machine, later; raftadmin takes it into groups

It starts nothing. On each machine: kvorum server --config /etc/kvorum/kvorum.yaml`;

interface InitFlags {
  readonly clusterName: string;
  readonly bind: string;
  readonly configFolder: string;
  readonly dynamodb?: true;
  readonly clientTls: boolean;
  readonly set: Readonly<Record<string, string>>;
  readonly ifMissing?: true;
  readonly add?: true;
}

const HEADING = ['files', 'what to do with them'];

const addHost = (text: string, hosts: readonly string[] = []): string[] => [...hosts, parseHost(text)];

function addSetting(text: string, settings: Readonly<Record<string, string>>): Record<string, string> {
  const at = text.indexOf('=');
  const key = text.slice(0, at);
  const setting = Object.entries(nodeSettings).find(([name]) => name === key)?.[1];
  if (at <= 0 || setting === undefined)
    throw new InvalidArgumentError('It must be key=value with the key of a setting.');
  if (OWN_SETTINGS.includes(key)) throw new InvalidArgumentError(`${key} is each node's own.`);
  if (setting.isSecret === true)
    throw new InvalidArgumentError(`${key} is a secret and stands in no file that others read.`);
  return { ...settings, [key]: text.slice(at + 1) };
}

/** Adds the command. */
export function addInitCommand(program: Command): void {
  program
    .command('init')
    .argument('<folder>', 'where the files are written; made when it is not there')
    .argument('<host...>', 'the machines, by the name or address under which all others reach them', addHost)
    .summary('write configurations and certificates for several machines')
    .description(
      'Writes all files that a new cluster of several machines needs: configurations, certificates, a password.',
    )
    .option('--cluster-name <name>', 'name that the nodes share', 'kvorum')
    .option('--bind <address>', 'address that nodes listen at', parseHost, '0.0.0.0')
    .option('--config-folder <folder>', 'where a node will find its files', '/etc/kvorum')
    .option('--dynamodb', 'serve DynamoDB clients too')
    .option('--no-client-tls', 'Redis and DynamoDB clients talk in plain text; between nodes it is always TLS')
    .addOption(
      new Option('--set <key=value>', 'a setting of all nodes; may be given several times')
        .argParser(addSetting)
        .default({}, 'none'),
    )
    .option('--if-missing', 'do nothing when the folder has files already')
    .option('--add', 'add machines to the cluster of the folder, with its settings; they are to join it')
    .addHelpText('after', EXAMPLES)
    .action(async (folder: string, hosts: string[], flags: InitFlags) => {
      const nowMs = Date.now();
      checkedName('a cluster', flags.clusterName);
      const repeated = hosts.find((host, at) => hosts.indexOf(host) < at);
      if (repeated !== undefined) throw new CommandFailure(`${repeated} is named twice`, 2);
      if (flags.ifMissing && (await isFolderTaken(folder))) {
        console.log(`${folder} is there already`);
        return;
      }
      if (flags.add) {
        const added: string[][] = [];
        for (const host of hosts) {
          const nodeId = await addLaterNode(folder, host, CERTIFICATE_DAYS, nowMs);
          added.push([join(folder, nodeName(nodeId)), `belongs on ${host}; node ${nodeId} is to join`]);
        }
        console.log(formatTable([HEADING, ...added]));
        return;
      }
      const plan = {
        clusterName: flags.clusterName,
        hosts,
        bind: flags.bind,
        configFolder: flags.configFolder,
        hasDynamodb: flags.dynamodb === true,
        hasClientTls: flags.clientTls,
        settings: flags.set,
      };
      await writeCluster(folder, plan, { certificateDays: CERTIFICATE_DAYS, authorityDays: AUTHORITY_DAYS }, nowMs);
      console.log(nextSteps(folder, hosts, flags.configFolder));
    });
}

function nextSteps(folder: string, hosts: readonly string[], configFolder: string): string {
  const rows = hosts.map((host, at) => [join(folder, nodeName(at + 1)), `belongs on ${host} as ${configFolder}`]);
  return formatTable([
    HEADING,
    ...rows,
    [join(folder, ADMIN), `are for whoever looks after the cluster: . ${join(folder, ADMIN, 'env')}`],
    [join(folder, 'ca.key'), 'signs certificates; keep it off the nodes'],
  ]);
}
