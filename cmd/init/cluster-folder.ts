/**
 * The folder of a new cluster: an authority, a folder for each node that goes to its machine as it is, and one for whoever looks after
 * the cluster. It is made beside its place and put there in one step, so a folder that is there is whole.
 */
import { randomBytes } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Millis } from '../../src/platform/index.ts';
import {
  AUTHORITY_FILE,
  Authority,
  addHolder,
  fileNameOf,
  replacePublicFile,
  replaceSecretFile,
  textIfThere,
} from '../certs/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { newCredentials } from '../cluster/index.ts';
import {
  type ClusterPlan,
  CREDENTIALS_FILE,
  configurationsOf,
  configurationText,
  endpointsOf,
  laterConfiguration,
  PASSWORD_FILE,
} from './configurations.ts';

/** Of the certificate that comes with a new cluster, and of its folder. */
export const ADMIN = 'admin';
const ENVIRONMENT_FILE = 'env';
const CONFIGURATION_FILE = 'kvorum.yaml';
/** 192 bits. */
const PASSWORD_BYTES = 24;

/** How long certificates count. */
export interface Lifetimes {
  readonly certificateDays: number;
  readonly authorityDays: number;
}

/** The name of a node, its certificate and its folder. */
export const nodeName = (nodeId: number): string => `node${nodeId}`;

/** Whether there is a folder with something in it. */
export async function isFolderTaken(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length > 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** What a shell of whoever looks after the cluster reads. */
function environmentText(folder: string, plan: ClusterPlan, password: string): string {
  const file = (name: string): string => join(resolve(folder), ADMIN, name);
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const variables = {
    RAFTADMIN_ENDPOINTS: endpointsOf(plan).join(','),
    RAFTADMIN_TLS_CA: file(AUTHORITY_FILE),
    RAFTADMIN_TLS_CERT: file(`${fileNameOf('admin')}.pem`),
    RAFTADMIN_TLS_KEY: file(`${fileNameOf('admin')}.key`),
    REDISCLI_AUTH: password,
  };
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}\n`);
  return `# Read by a shell before raftadmin and redis-cli: . ${ENVIRONMENT_FILE}\n${lines.join('')}`;
}

/** What goes to the machine of a node beside its certificate. */
interface NodeFiles {
  readonly nodeId: number;
  readonly host: string;
  /** Of its configuration. */
  readonly text: string;
  /** By the name of the file. */
  readonly secrets: ReadonlyMap<string, string>;
}

async function writeNode(
  authority: Authority,
  { nodeId, host, text, secrets }: NodeFiles,
  certificateDays: number,
  nowMs: Millis,
): Promise<void> {
  const name = nodeName(nodeId);
  const issued = authority.issue({ name, role: 'node' }, [...new Set([host, name])], certificateDays, nowMs);
  const own = await addHolder(authority, name, 'node', issued);
  for (const [file, secret] of secrets) await replaceSecretFile(join(own, file), secret);
  await replacePublicFile(join(own, CONFIGURATION_FILE), text);
}

/** The highest number of a node that has a configuration; 0 when there is none. */
async function lastNode(folder: string): Promise<number> {
  const names = await readdir(folder);
  const numbers = names.flatMap((name) => /^node([1-9]\d*)$/.exec(name)?.[1] ?? []).map(Number);
  const isThere = await Promise.all(
    numbers.map(
      async (nodeId) => (await textIfThere(join(folder, nodeName(nodeId), CONFIGURATION_FILE))) !== undefined,
    ),
  );
  return Math.max(0, ...numbers.filter((_, at) => isThere[at]));
}

/**
 * Adds the files of a node that is to join, with the settings and the secrets of the node before it.
 * @returns its number
 * @throws CommandFailure, CertificateError
 */
export async function addLaterNode(
  folder: string,
  host: string,
  certificateDays: number,
  nowMs: Millis,
): Promise<number> {
  const authority = await Authority.open(folder);
  const last = await lastNode(folder);
  if (last === 0) throw new CommandFailure(`${folder} has no node with a configuration that kvorum init wrote`);
  const before = (file: string): Promise<string | undefined> => textIfThere(join(folder, nodeName(last), file));
  const { nodeId, text } = laterConfiguration((await before(CONFIGURATION_FILE))!, host);
  const secrets = new Map<string, string>();
  for (const file of [PASSWORD_FILE, CREDENTIALS_FILE]) {
    const secret = await before(file);
    if (secret !== undefined) secrets.set(file, secret);
  }
  await writeNode(authority, { nodeId, host, text, secrets }, certificateDays, nowMs);
  return nodeId;
}

/**
 * Writes all files of a cluster.
 * @throws CommandFailure when the folder is taken; ConfigError when the settings do not fit together, before anything is written
 */
export async function writeCluster(
  folder: string,
  plan: ClusterPlan,
  { certificateDays, authorityDays }: Lifetimes,
  nowMs: Millis,
): Promise<void> {
  const configurations = configurationsOf(plan);
  if (await isFolderTaken(folder)) throw new CommandFailure(`${folder} is there already and not empty`);
  const work = `${folder.replace(/\/+$/, '')}.new`;
  await rm(work, { recursive: true, force: true });
  const authority = await Authority.create(work, plan.clusterName, authorityDays, nowMs);
  const password = randomBytes(PASSWORD_BYTES).toString('base64url');
  const secrets = new Map([[PASSWORD_FILE, `${password}\n`]]);
  if (plan.hasDynamodb) secrets.set(CREDENTIALS_FILE, newCredentials());
  for (const [at, host] of plan.hosts.entries()) {
    await writeNode(
      authority,
      { nodeId: at + 1, host, text: configurationText(configurations[at]!), secrets },
      certificateDays,
      nowMs,
    );
  }
  const admin = authority.issue({ name: ADMIN, role: 'admin' }, [], certificateDays, nowMs);
  const own = await addHolder(authority, ADMIN, 'admin', admin);
  await replaceSecretFile(join(own, ENVIRONMENT_FILE), environmentText(folder, plan, password));
  const credentials = secrets.get(CREDENTIALS_FILE);
  if (credentials !== undefined) await replaceSecretFile(join(own, CREDENTIALS_FILE), credentials);
  // An empty folder that is there gives way.
  await rename(work, folder);
}
