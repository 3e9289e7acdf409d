/** `kvorum certs`: the authority of a cluster, and the certificates of nodes and of those who use them. */
import { type Command, Option } from 'commander';
import {
  Authority,
  addHolder,
  type KeptCertificate,
  keptCertificates,
  ROLES,
  type Role,
  renewCertificates,
  subjectOf,
  updateAuthorityCopies,
} from '../certs/index.ts';
import { CommandFailure } from '../cli/failure.ts';
import { parseCount, parseHost } from '../cli/option-values.ts';
import { formatTable } from '../cli/table.ts';

const DAY_MS = 24 * 3_600_000;
/** One year: long enough to be renewed in time by somebody who looks once a month. */
export const CERTIFICATE_DAYS = 365;
/** Ten years: an authority is replaced by hand. */
export const AUTHORITY_DAYS = 3650;
const MAX_DAYS = 36_500;
const RENEW_WITHIN_DAYS = 30;

const EXAMPLES = `
Examples:
  kvorum certs authority ./shop --cluster-name shop
      makes an authority: ca.pem, which everybody gets, and ca.key, which stays here
  kvorum certs node ./shop node4 --host 10.0.0.4 --host db4.example.org
      a certificate for a node: ./shop/node4 is what belongs on its machine
  kvorum certs client ./shop ada --role operate
      one for a person or a program
  kvorum certs renew ./shop
      new ones for those that end within 30 days; nodes take new files within 5 s
  kvorum certs authority ./shop --replace
      a new authority beside the old one; then copy ca.pem everywhere, renew, copy again, and --retire

kvorum init makes an authority and everything else that a new cluster needs.`;

const addHost = (text: string, hosts: readonly string[] = []): string[] => [...hosts, parseHost(text)];

const daysOption = (defaultDays: number): Option =>
  new Option('--days <count>', 'how long it counts').argParser(parseCount(1, MAX_DAYS)).default(defaultDays);

const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Adds the command. */
export function addCertsCommand(program: Command): void {
  const certs = program
    .command('certs')
    .summary('make and renew the certificates of a cluster')
    .description('Makes and renews certificates in a folder that has the authority of a cluster.')
    .addHelpText('after', EXAMPLES);
  addAuthority(certs);
  addNode(certs);
  addClient(certs);
  addRenew(certs);
  addList(certs);
}

function addAuthority(certs: Command): void {
  certs
    .command('authority')
    .argument('<folder>', 'where it is kept')
    .summary('make, replace or retire the authority')
    .description('Makes the authority of a cluster, which signs the certificates of its nodes and users.')
    .option('--cluster-name <name>', 'the cluster that it is for', 'kvorum')
    .option('--replace', 'make a new one; certificates of the old one count until --retire')
    .option('--retire', 'let only the newest count')
    .addOption(daysOption(AUTHORITY_DAYS))
    .action(async (folder: string, flags: { clusterName: string; replace?: true; retire?: true; days: number }) => {
      const nowMs = Date.now();
      if (flags.replace && flags.retire)
        throw new CommandFailure('--replace and --retire are two steps, with renew between', 2);
      if (!flags.replace && !flags.retire) {
        const { endsAtMs } = await Authority.create(folder, flags.clusterName, flags.days, nowMs);
        console.log(
          `an authority for ${flags.clusterName} in ${folder}, until ${dateOf(endsAtMs)}; ca.key stays off the nodes`,
        );
        return;
      }
      const old = await Authority.open(folder, flags.clusterName);
      if (flags.retire) await refuseEarlyRetirement(old);
      const now = flags.replace ? await old.replace(flags.days, nowMs) : await old.retireOthers();
      const copies = await updateAuthorityCopies(now);
      console.log(
        `${now.count === 1 ? 'one authority counts' : `${now.count} authorities count`}, the newest until ${dateOf(now.endsAtMs)}`,
      );
      for (const path of copies) console.log(`changed ${path}`);
    });
}

/** A certificate that the newest authority has not signed would count no more. */
async function refuseEarlyRetirement(authority: Authority): Promise<void> {
  const left = (await keptCertificates(authority)).filter(
    ({ certificate, isOurs }) => isOurs && !authority.hasSignedLately(certificate),
  );
  if (left.length === 0) return;
  throw new CommandFailure(
    `of the older authority are still: ${left.map(({ path }) => path).join(', ')}; kvorum certs renew makes new ones first`,
  );
}

function addNode(certs: Command): void {
  certs
    .command('node')
    .argument('<folder>', 'the folder of the authority')
    .argument('<name>', 'the name of the node, such as node4')
    .summary('make a certificate for a node')
    .description('Makes a certificate with which a node proves itself to the others and to clients.')
    .requiredOption('--host <name|address>', 'where clients reach it; may be given several times', addHost)
    .addOption(daysOption(CERTIFICATE_DAYS))
    .action(async (folder: string, name: string, { host, days }: { host: string[]; days: number }) => {
      await issue(folder, name, 'node', host, days);
    });
}

function addClient(certs: Command): void {
  certs
    .command('client')
    .argument('<folder>', 'the folder of the authority')
    .argument('<name>', 'the name of the person or program')
    .summary('make a certificate for a person or a program')
    .description(
      'Makes a certificate with which a person or a program proves itself to nodes. Its holder cannot be a node.',
    )
    .addOption(
      new Option('--role <role>', 'what its holder may do')
        .choices(ROLES.filter((role) => role !== 'node'))
        .default('data'),
    )
    .addOption(daysOption(CERTIFICATE_DAYS))
    .action(async (folder: string, name: string, { role, days }: { role: Role; days: number }) => {
      await issue(folder, name, role, [], days);
    });
}

async function issue(folder: string, name: string, role: Role, hosts: readonly string[], days: number): Promise<void> {
  const nowMs = Date.now();
  const authority = await Authority.open(folder);
  const made = await addHolder(authority, name, role, authority.issue({ name, role }, hosts, days, nowMs));
  console.log(`a certificate for ${name} (${role}) in ${made}`);
}

function addRenew(certs: Command): void {
  certs
    .command('renew')
    .argument('<folder>', 'the folder of the authority')
    .summary('make new certificates for those that end soon')
    .description(
      'Makes new certificates, with new keys, for the same holders. Certificates of an older authority and those without their key are due too.',
    )
    .option('--all', 'whenever they end')
    .addOption(
      new Option('--within <days>', 'which end within so many days')
        .argParser(parseCount(0, MAX_DAYS))
        .default(RENEW_WITHIN_DAYS),
    )
    .addOption(daysOption(CERTIFICATE_DAYS))
    .action(async (folder: string, { all, within, days }: { all?: true; within: number; days: number }) => {
      const nowMs = Date.now();
      const authority = await Authority.open(folder);
      const copies = await updateAuthorityCopies(authority);
      for (const path of copies) console.log(`changed ${path}`);
      const range = { all: all === true, withinDays: within };
      const renewed = await renewCertificates(authority, range, days, nowMs);
      for (const { path, reason } of renewed) console.log(`renewed ${path}: ${reason}`);
      if (renewed.length === 0) console.log('no certificate is due');
    });
}

function stateOf({ certificate, hasItsKey, isOurs }: KeptCertificate, nowMs: number): string {
  if (!isOurs) return 'of another authority';
  if (!hasItsKey) return 'without its key';
  const leftMs = certificate.validToDate.getTime() - nowMs;
  return leftMs <= 0 ? 'ended' : `${Math.floor(leftMs / DAY_MS)} days left`;
}

function addList(certs: Command): void {
  certs
    .command('list')
    .argument('<folder>', 'the folder of the authority')
    .summary('show the certificates and when they end')
    .description('Shows every certificate below the folder of an authority.')
    .action(async (folder: string) => {
      const nowMs = Date.now();
      const authority = await Authority.open(folder);
      const kept = await keptCertificates(authority);
      const rows = kept.map((each) => {
        const { name, role } = subjectOf(each.certificate);
        const until = dateOf(each.certificate.validToDate.getTime());
        return [name ?? 'none', role ?? 'none', until, stateOf(each, nowMs), each.path];
      });
      console.log(formatTable([['name', 'role', 'until', 'state', 'file'], ...rows]));
      console.log(`the authority of ${authority.cluster} ends ${dateOf(authority.endsAtMs)}`);
    });
}
