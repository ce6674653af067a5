#lang racket/base
; Connections one after another to a thread of the same program, and a datagram.
(require racket/tcp racket/udp)

(define here "127.0.0.1")
(define listener (tcp-listen 0 5 #t here))
(define-values (address port peer peer-port) (tcp-addresses listener #t))

(define server
  (thread
   (lambda ()
     (for ([turn 50])
       (define-values (in out) (tcp-accept listener))
       (write-bytes (read-bytes 5 in) out)
       (close-output-port out)
       (close-input-port in)))))

(for ([turn 50])
  (define-values (in out) (tcp-connect here port))
  (write-bytes #"hello" out)
  (flush-output out)
  (unless (equal? (read-bytes 5 in) #"hello") (error "another answer"))
  (unless (eof-object? (read-byte in)) (error "no end"))
  (close-output-port out)
  (close-input-port in))
(thread-wait server)

(define receiver (udp-open-socket))
(udp-bind! receiver here 0)
(define-values (own own-port none none-port) (udp-addresses receiver #t))
(udp-send-to (udp-open-socket) here own-port #"word")
(define buffer (make-bytes 10))
(define-values (length from from-port) (udp-receive! receiver buffer))
(unless (and (= length 4) (equal? from here)) (error "another datagram"))
(displayln "ok")
