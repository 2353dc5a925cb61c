// kafkajs, which speaks old versions only, against a broker: `node kafkajs.js BOOTSTRAP RECORDS PREFIX`.
//
// It only produces here (groups/member.js consumes); confluent-kafka reads what it wrote. It knows gzip by itself, the
// other codecs come from packages.
const fs = require('fs')
const lz4 = require('lz4-napi')
const snappy = require('snappyjs')
const zstd = require('@bokuweb/zstd-wasm')
const { Kafka, CompressionTypes, CompressionCodecs, KafkaJSProtocolError, logLevel } = require('kafkajs')
const { version } = require('kafkajs/package.json')

const [bootstrap, recordsFile, prefix] = process.argv.slice(2)
const PARTITIONS = 12
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }
CompressionCodecs[CompressionTypes.Snappy] = () => ({ compress: async encoder => Buffer.from(snappy.compress(encoder.buffer)) })
CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress: async encoder => lz4.compressFrame(encoder.buffer) })
CompressionCodecs[CompressionTypes.ZSTD] = () => ({ compress: async encoder => Buffer.from(zstd.compress(encoder.buffer, 3)) })

const decoded = text => (text === null ? null : Buffer.from(text, 'base64'))
// kafkajs takes a null header for an absent one; repeated headers are lists.
const headersOf = pairs => pairs.reduce((all, [name, text]) => {
  const content = text === null ? Buffer.alloc(0) : decoded(text)
  all[name] = name in all ? [].concat(all[name], content) : content
  return all
}, {})
const messages = JSON.parse(fs.readFileSync(recordsFile, 'ascii')).map(r => ({
  partition: r.partition, key: decoded(r.key), value: decoded(r.value), headers: headersOf(r.headers), timestamp: `${r.timestamp}`,
}))

const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 5 } })
const admin = kafka.admin()
let passed = 0
let failed = 0

function equal (what, got, expected) {
  const [one, other] = [JSON.stringify(got), JSON.stringify(expected)]
  if (one !== other) throw new Error(`${what}: got ${one}, expected ${other}`)
  passed += 1
}

async function scenario (name, run) {
  try {
    await run()
  } catch (error) {
    failed += 1
    console.log(`kafkajs: ${name}: ${error.name}: ${error.message}`)
  }
}

async function create (name, numPartitions) {
  const topic = `${prefix}-kafkajs-${name}`
  equal(`${topic} is new`, await admin.createTopics({ topics: [{ topic, numPartitions }] }), true)
  return topic
}

async function produce (topic, list, acks, compression, idempotent = false) {
  const producer = kafka.producer({ idempotent, maxInFlightRequests: idempotent ? 1 : null })
  await producer.connect()
  try {
    return await producer.send({ topic, messages: list, acks, compression })
  } finally {
    await producer.disconnect()
  }
}

async function codec (name) {
  const topic = await create(name, PARTITIONS)
  const each = messages.length / PARTITIONS
  for (const [turn, [acks, idempotent]] of [[-1, true], [-1, false], [1, false]].entries()) {
    const answered = await produce(topic, messages, acks, CODECS[name], idempotent)
    answered.sort((a, b) => a.partition - b.partition)
    equal('the answered base offsets', answered.map(a => Number(a.baseOffset)), Array(PARTITIONS).fill(turn * each))
    equal('the answered errors', answered.map(a => a.errorCode), Array(PARTITIONS).fill(0))
  }
  await produce(topic, messages, 0, CODECS[name])
}

async function administration () {
  const topic = await create('admin', PARTITIONS)
  equal('a topic that exists', await admin.createTopics({ topics: [{ topic }] }), false)
  const described = (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions
  equal('partitions', described.length, PARTITIONS)
  const start = Date.now() - 60000
  const list = Array.from({ length: 30 }, (_, i) => ({ partition: 0, value: `${i}`, timestamp: `${start + i}` }))
  await produce(topic, list, -1, CODECS.gzip)
  const ends = await admin.fetchTopicOffsets(topic)
  equal('ends', ends.map(e => Number(e.high)).reduce((a, b) => a + b), 30)
  const atTime = await admin.fetchTopicOffsetsByTimestamp(topic, start + 10)
  equal('the offset of a time', atTime.find(o => o.partition === 0).offset, '10')
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '12' }] })
  const starts = await admin.fetchTopicOffsets(topic)
  equal('the start after a deletion', starts.find(o => o.partition === 0).low, '12')
  await admin.createPartitions({ topicPartitions: [{ topic, count: PARTITIONS + 1 }] })
  await admin.alterConfigs({ resources: [{ type: 2, name: topic, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })
  const configs = await admin.describeConfigs({ resources: [{ type: 2, name: topic, configNames: ['retention.ms'] }] })
  equal('an altered configuration', configs.resources[0].configEntries.map(e => e.configValue), ['7200000'])
  equal('brokers', (await admin.describeCluster()).brokers.length > 0, true)
  await admin.deleteTopics({ topics: [topic] })
  const left = (await admin.listTopics()).includes(topic)
  equal('a deleted topic is not listed', left, false)
}

async function refusal () {
  const topic = `${prefix}-kafkajs-refusal`
  const configEntries = [{ name: 'max.message.bytes', value: '10000' }]
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }] })
  const error = await produce(topic, [{ value: 'x'.repeat(11000) }], -1, CODECS.none).catch(e => e)
  const cause = [error, error.cause].find(e => e instanceof KafkaJSProtocolError)
  equal('a batch over max.message.bytes', cause && cause.type, 'MESSAGE_TOO_LARGE')
}

async function main () {
  await zstd.init()
  await admin.connect()
  for (const name of Object.keys(CODECS)) await scenario(`codec ${name}`, () => codec(name))
  await scenario('administration', administration)
  await scenario('refusal', refusal)
  await admin.disconnect()
  console.log(`kafkajs ${version}: ${passed} checks passed${failed ? `, ${failed} FAILED` : ''}`)
  process.exit(failed ? 1 : 0)
}

main()
