import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { Counter, Registry } from 'prom-client';
import { MetricsServer, type Readiness } from '../../../src/adapter/metrics/index.ts';

describe('the metrics server', () => {
  const registry = new Registry();
  const counter = new Counter({ name: 'kvorum_test_total', help: 'test', registers: [registry] });
  let readiness: Readiness = { ready: true, reason: 'ready', details: ['group 1: led here'] };
  let server: MetricsServer;
  let base: string;

  beforeEach(async () => {
    server = new MetricsServer({ host: '127.0.0.1', port: 0, registry, readiness: () => readiness });
    base = `http://${await server.start()}`;
  });
  afterEach(() => server.stop());

  test('shows the registry in the Prometheus text format', async () => {
    counter.inc(3);
    const response = await fetch(`${base}/metrics`);
    assert.equal(response.headers.get('content-type'), registry.contentType);
    assert.match(await response.text(), /^kvorum_test_total 3$/m);
  });

  test('is healthy whenever it answers, and ready only when it is told so', async () => {
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    assert.equal((await fetch(`${base}/readyz`)).status, 200);
    assert.equal(await (await fetch(`${base}/readyz?verbose`)).text(), 'ready\ngroup 1: led here\n');
    readiness = { ready: false, reason: 'group 1 has no leader', details: [] };
    const response = await fetch(`${base}/readyz`);
    assert.equal(response.status, 503);
    assert.equal(await response.text(), 'group 1 has no leader\n');
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
  });

  test('refuses what it does not serve', async () => {
    assert.equal((await fetch(`${base}/`)).status, 404);
    const refused = await fetch(`${base}/metrics`, { method: 'POST', body: 'x' });
    assert.equal(refused.status, 405);
    assert.equal(refused.headers.get('allow'), 'GET, HEAD');
    assert.equal(await (await fetch(`${base}/metrics`, { method: 'HEAD' })).text(), '');
  });

  test('answers a failing collector with its message and lives on', async () => {
    const broken = new Counter({
      name: 'kvorum_broken_total',
      help: 'test',
      registers: [registry],
      collect() {
        throw new Error('the disk is gone');
      },
    });
    const response = await fetch(`${base}/metrics`);
    assert.equal(response.status, 500);
    assert.match(await response.text(), /the disk is gone/);
    registry.removeSingleMetric('kvorum_broken_total');
    assert.ok(broken);
    assert.equal((await fetch(`${base}/metrics`)).status, 200);
  });

  test('answers probes however many connections say nothing', async () => {
    const url = new URL(base);
    const silent = Array.from({ length: 200 }, () => connect(Number(url.port), url.hostname));
    for (const socket of silent) socket.on('error', () => {});
    await Promise.all(silent.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    const closed = silent.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    assert.equal((await fetch(`${base}/healthz`)).status, 200);
    // Those that made room are told so by the end of their connection; some are always left to be ended with the server.
    await Promise.all(closed.slice(0, 100));
    for (const socket of silent) socket.destroy();
  });

  test('a taken port is reported with the code of the system', async () => {
    const port = Number(new URL(base).port);
    const second = new MetricsServer({ host: '127.0.0.1', port, registry, readiness: () => readiness });
    await assert.rejects(second.start(), { code: 'EADDRINUSE' });
    await second.stop();
  });

  test('stop drops connections that are still open', async () => {
    const url = new URL(base);
    const socket = connect(Number(url.port), url.hostname);
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    await server.stop();
    await closed;
  });
});
