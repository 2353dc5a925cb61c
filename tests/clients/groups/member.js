// A member of a group, with kafkajs: `node member.js BOOTSTRAP GROUP NAME ASSIGNOR`. Reads the topic that is named like
// its group, until SIGTERM. It knows one way of assigning, which gives everything up in every rebalance.
const fs = require('fs')
const { Kafka, logLevel } = require('kafkajs')

const [bootstrap, group, name] = process.argv.slice(2)
const tell = (what, numbers) => fs.writeSync(1, `${name} ${what} ${numbers.join(' ')}\n`)
const kafka = new Kafka({ brokers: [bootstrap], clientId: name, logLevel: logLevel.NOTHING })
const consumer = kafka.consumer({ groupId: group, heartbeatInterval: 300, sessionTimeout: 6000, maxWaitTimeInMs: 100 })
let owned = []

function giveUp () {
  tell('revoked', owned)
  owned = []
}

consumer.on(consumer.events.REBALANCING, giveUp)
consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
  owned = payload.memberAssignment[group] || []
  tell('assigned', owned)
})

async function main () {
  await consumer.connect()
  await consumer.subscribe({ topic: group, fromBeginning: true })
  await consumer.run({
    eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
      for (const message of batch.messages) {
        tell('read', [batch.partition, message.offset])
        resolveOffset(message.offset)
      }
      await heartbeat()
    },
  })
}

process.on('SIGTERM', async () => {
  giveUp()
  await consumer.disconnect()
  process.exit(0)
})
main().catch(error => { console.error(error); process.exit(1) })
