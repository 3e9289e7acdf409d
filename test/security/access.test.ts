import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { AccessPolicy, type AccessRole, ClusterSecret, nameOfCaller, Tokens } from '../../src/security/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'kvorum-access-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const token = (letter: string): string => letter.repeat(40);
let files = 0;
function fileWith(text: string): string {
  const path = join(folder, `file-${++files}`);
  writeFileSync(path, text);
  return path;
}

describe('who may do what', () => {
  const names = { read: ['grafana'], operate: ['oncall', 'spiffe://here/oncall'], admin: ['boss'], data: ['shop'] };
  const roles = (policy: AccessPolicy, shown: readonly string[], shownToken?: string): AccessRole[] => [
    ...(policy.callerOf({ names: shown, token: shownToken }).roles ?? []),
  ];

  test('follows from the names in a certificate; operators are not data clients', () => {
    const policy = new AccessPolicy({ names });
    assert.deepEqual(roles(policy, ['grafana']), ['read']);
    assert.deepEqual(roles(policy, ['some machine', 'spiffe://here/oncall']), ['read', 'operate']);
    assert.deepEqual(roles(policy, ['boss']), ['read', 'operate', 'admin']);
    assert.deepEqual(roles(policy, ['shop']), ['data']);
    assert.deepEqual(roles(policy, ['boss', 'shop']), ['read', 'operate', 'admin', 'data']);
    assert.deepEqual(roles(policy, ['grafana2', '*']), []);
  });

  test('may be the same for everybody who has a certificate, and for nobody without', () => {
    const policy = new AccessPolicy({ names: { ...names, read: ['*'] } });
    assert.deepEqual(roles(policy, ['anybody']), ['read']);
    assert.deepEqual(roles(policy, []), []);
  });

  test('is everything as long as nobody has said it', () => {
    const policy = new AccessPolicy({});
    const caller = policy.callerOf({ names: [], token: 'whatever' });
    assert.equal(caller.roles, undefined);
    policy.check(caller, 'admin', 'Recover');
    policy.check(caller, 'data', 'Put');
  });

  test('is said in the refusal: what is needed, who asked, and what to do', async () => {
    const tokens = (await Tokens.open(fileWith(`read watcher ${token('w')}\n`)))!;
    const policy = new AccessPolicy({ names, tokens });
    const refusal = (shown: readonly string[], shownToken?: string) => {
      const caller = policy.callerOf({ names: shown, token: shownToken });
      policy.check(caller, 'operate', 'Split');
    };
    assert.throws(() => refusal(['grafana']), {
      code: 'ROLE_MISSING',
      message:
        'Split needs the role operate; certificate "grafana" has read: an admin lists the certificate in grpc.roles.operate, ' +
        'or gives out a token with that role',
    });
    assert.throws(() => refusal(['stranger'], token('w')), {
      code: 'ROLE_MISSING',
      message: /^Split needs the role operate; certificate "stranger" with token "watcher" has read:/,
    });
    assert.throws(() => refusal([]), {
      code: 'UNAUTHENTICATED',
      message: /neither a token nor a certificate.*--token-file/,
    });
    // Also where the certificate alone would do.
    assert.throws(() => refusal(['boss'], token('x')), { code: 'UNAUTHENTICATED', message: /grpc\.tokenFile/ });
    assert.equal(nameOfCaller({ certificate: undefined, token: undefined, roles: new Set() }), 'nobody known');
  });
});

describe('a file of tokens', () => {
  const digest = createHash('sha256').update(token('b')).digest('hex');
  const text = `# operators\nread grafana ${token('a')}\n\nadmin boss sha256:${digest}\r\ndata shop ${token('c')}\n`;

  test('has a role and a name for each, by itself or by its digest', async () => {
    const tokens = (await Tokens.open(fileWith(text)))!;
    assert.deepEqual(tokens.find(token('a')), { name: 'grafana', role: 'read' });
    assert.deepEqual(tokens.find(token('b')), { name: 'boss', role: 'admin' });
    assert.equal(tokens.find(`sha256:${digest}`), undefined, 'the digest opens nothing');
    assert.equal(tokens.find(token('a').slice(1)), undefined);
    assert.equal(tokens.find(''), undefined);
    assert.equal(await Tokens.open(undefined), undefined);
  });

  test('is read again: new tokens count, taken ones do not, and a mistake changes nothing', async () => {
    const file = fileWith(text);
    const tokens = (await Tokens.open(file))!;
    assert.equal(await tokens.refresh(), false);
    writeFileSync(file, `operate grafana ${token('n')}\n`);
    assert.equal(await tokens.refresh(), true);
    assert.equal(tokens.find(token('a')), undefined);
    assert.deepEqual(tokens.find(token('n')), { name: 'grafana', role: 'operate' });
    writeFileSync(file, 'operate grafana short\n');
    await assert.rejects(tokens.refresh(), { code: 'TOKEN_FILE_INVALID' });
    assert.deepEqual(tokens.find(token('n')), { name: 'grafana', role: 'operate' });
  });

  test('that cannot be right is refused with the place, and never with what stands there', async () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      ['', /holds no token/],
      [`read ${token('s')}`, /line 1 that is not <role> <name> <token>/],
      [`read a ${token('s')}\nroot b ${token('s')}`, /no role on line 2; the roles are read, operate, admin, data/],
      [`read a ${'s'.repeat(31)}`, /31 characters on line 1.*openssl rand -hex 32/],
      [`read a ${token('s')}\nadmin b ${token('s')}`, /line 2 twice/],
      ['read a sha256:55', /9 characters|line 1/],
    ];
    for (const [content, message] of wrong) {
      await assert.rejects(Tokens.open(fileWith(content)), (error: Error & { code: string }) => {
        assert.equal(error.code, 'TOKEN_FILE_INVALID');
        assert.match(error.message, message);
        assert.doesNotMatch(inspect(error), /ssss/);
        return true;
      });
    }
    await assert.rejects(Tokens.open(join(folder, 'none')), { code: 'TOKEN_FILE_INVALID', message: /does not exist/ });
  });
});

describe('the secret of a cluster', () => {
  const FIRST = '0123456789abcdef0123456789abcdef';
  const SECOND = 'f'.repeat(32);
  const facts = ['kvorum peer 1', 'caller', 'orders', '1', 'a1', 'b1,b2', 'c1', '2'];

  test('is proven by bytes that other releases know', async () => {
    const secret = (await ClusterSecret.open(fileWith(`${FIRST}\n`), true))!;
    assert.equal(secret.prove(facts), '2e951774392fb01cb2e31c192acbd758997173dfebcdbbcfd416a25dbe8b2785');
    assert.equal(secret.accepts(facts, secret.prove(facts)), true);
    for (const [at, fact] of facts.entries()) {
      const others = facts.with(at, `${fact}x`);
      assert.equal(secret.accepts(others, secret.prove(facts)), false, `of another ${fact}`);
    }
    for (const proof of ['', 'zz', secret.prove(facts).slice(2), `${secret.prove(facts)}00`]) {
      assert.equal(secret.accepts(facts, proof), false);
    }
  });

  test('goes from one to the next: the first is proven with, all count', async () => {
    const file = fileWith(`${FIRST}\n`);
    const before = (await ClusterSecret.open(fileWith(`${FIRST}\n`), true))!;
    const after = (await ClusterSecret.open(fileWith(`${SECOND}\n`), true))!;
    const secret = (await ClusterSecret.open(file, true))!;
    writeFileSync(file, `${FIRST}\n${SECOND}\n`);
    assert.equal(await secret.refresh(), true);
    assert.equal(await secret.refresh(), false);
    assert.equal(before.accepts(facts, secret.prove(facts)), true);
    assert.equal(secret.accepts(facts, after.prove(facts)), true);
    writeFileSync(file, `${SECOND}\n`);
    assert.equal(await secret.refresh(), true);
    assert.equal(secret.accepts(facts, before.prove(facts)), false);
    writeFileSync(file, 'short\n');
    await assert.rejects(secret.refresh(), { code: 'SECRET_FILE_INVALID', message: /less than 32 characters/ });
    assert.equal(secret.accepts(facts, after.prove(facts)), true);
  });
});
